"""Documents: what is read, what is refused and how it is said."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.entities import DOCUMENT_KINDS, Category, DecisionFlow, Entity, Offer, Ranking
from tables.catalogue_document import (
    CatalogueInvalidError,
    document_of,
    read_document,
    same_content,
)
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import plan_import
from tables.catalogue_yaml import (
    SIZE_MAX,
    DocumentTextError,
    json_parts,
    json_text,
    parse_text,
    yaml_parts,
    yaml_text,
)
from tests.catalogue.test_log import AT

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
)


def problems_of(text: str | bytes) -> list[str]:
    """What is wrong with a document, line by line, with the tenant's own checks."""
    data = text.encode() if isinstance(text, str) else text
    try:
        plan_import("demo", TenantLog(), read_document(data).entries, "test", AT, False)
    except CatalogueInvalidError as error:
        return [f"{problem.path}: {problem.message}" for problem in error.problems]
    return []


CATEGORY = "categories: [{id: c, name: C}]\n"

BAD: dict[str, tuple[str | bytes, str]] = {
    "unknown field": (
        CATEGORY + "offers: [{id: o, name: O, categoryId: c, prioritty: 3}]",
        "offers[0].prioritty: is not a field",
    ),
    "out of range": (
        CATEGORY + "offers: [{id: o, name: O, categoryId: c, priority: 300}]",
        "offers[0].priority: must be",
    ),
    "missing reference": (
        "offers: [{id: o, name: O, categoryId: none}]",
        "offers[0].categoryId: there is no none among the categories",
    ),
    "duplicate id": (
        "categories: [{id: c, name: C}, {id: c, name: D}]",
        "categories[1].id: c is already that of categories[0]",
    ),
    "duplicate id by key": (
        "categories: [{id: c, name: C}, {key: c, name: D}]",
        "categories[1].id: c is already that of categories[0]",
    ),
    "duplicate key": (
        "categories: [{id: c, key: k, name: C}, {id: d, key: k, name: D}]",
        "categories[1].key: k already names",
    ),
    "neither id nor key": ("categories: [{name: C}]", "categories[0].id: is required, or a key"),
    "unknown kind": ("category: [{id: c, name: C}]", "category: is not a kind"),
    "a kind that is no list": ("categories: {id: c}", "categories: must be a list"),
    "an entity that is no object": ("categories: [c]", "categories[0]: must be an object"),
    "duplicate name": (
        "categories:\n  - id: c\n    name: C\n    name: D\n",
        "line 4: uses the name name twice, first in line 3",
    ),
    "duplicate kind": ("offers: []\noffers: []\n", "line 2: uses the name offers twice, first in line 1"),
    "duplicate name in JSON": ('{"categories": [{"id": "c", "id": "d"}]}', ": uses the name id twice"),
    "alias bomb": (BOMB, "line 6: repeats more than 100000 values by aliases"),
    "alias to itself": ("a: &a [*a]", "line 1: *a stands for nothing"),
    "tag": ("a: !!python/object/apply:os.system [ls]", "line 1: has a tag"),
    "tag on a scalar": ("a: !!binary aGk=", "line 1: has a tag"),
    "name that is no text": ("1: []", "line 1: has a name that is not text"),
    "not a mapping": ("- a\n- b\n", ": must be a mapping"),
    "text": ("hello", ": must be a mapping"),
    "nothing": ("", ": must be a mapping"),
    "two documents": ("a: 1\n---\nb: 2\n", "line 2: holds more than one document"),
    "not YAML": ("categories: [\n", "line 2: is not valid YAML"),
    "a tab": ("a:\n\t- b\n", "line 2: is not valid YAML"),
    "not UTF-8": (b"a: \xff", ": is not UTF-8 text (byte 3)"),
    "deep": ("[" * 10_000, "nested deeper than 160 levels"),
    "deep in blocks": ("- " * 500 + "x", "nested deeper than 160 levels"),
    "deep JSON": ('{"a":' + "[" * 100_000, "nested deeper than 160 levels"),
    "huge": (b"#" * (SIZE_MAX + 1), ": is larger than 16 MiB"),
    "huge number": (f"a: {'9' * 5_000}", "is an integer of more than 64 bits"),
    "huge number in JSON": ('{"a": ' + "9" * 5_000 + "}", ": "),
    "no number": ('{"a": NaN}', ": holds NaN"),
    "infinite": (
        CATEGORY + "offers: [{id: o, name: O, categoryId: c, priority: 1e999}]",
        "offers[0].priority: is not a finite number",
    ),
    "bad tenant": ("tenant: No Such\n", "tenant: must be 1 to 64"),
    "tenant that is no text": ("tenant: 7\n", "tenant: must be 1 to 64"),
    "an entity larger than a record": (
        "categories:\n  - id: c\n    name: C\n    customFields:\n"
        + "".join(f"      - {{key: k{n}, type: string, default: {'x' * 1000}}}\n" for n in range(1200)),
        "categories[0]: has ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_documents_say_what_is_wrong(name: str) -> None:
    text, expected = BAD[name]
    started = time.monotonic()
    found = problems_of(text)
    assert any(expected in line for line in found), found
    assert time.monotonic() - started < 5


def test_all_problems_come_at_once() -> None:
    found = problems_of("offers: [{id: o, nam: O}, {id: p, name: P, categoryId: c, weight: x}]\nx: []")
    assert [line.partition(": ")[0] for line in found] == [
        "offers[0].nam",
        "offers[0].name",
        "offers[0].categoryId",
        "offers[1].weight",
        "x",
    ]


def test_scalars_mean_what_json_means() -> None:
    text = (
        "[no, yes, on, 10:30, 2026-01-01, 2026-01-01T00:00:00Z, 0o7, 010, 1_000, 1e3, ~, '7', .5, -3, +4.0]"
    )
    assert parse_text(text.encode()) == [
        "no", "yes", "on", "10:30", "2026-01-01", "2026-01-01T00:00:00Z", "0o7", 10, "1_000", 1000.0,
        None, "7", 0.5, -3, 4.0,
    ]  # fmt: skip


def test_aliases_are_for_shared_parts() -> None:
    document = read_document(
        b"categories: [{id: c, name: C}]\noffers:\n"
        b"  - {id: a, name: A, categoryId: c, tags: &t [x, y]}\n"
        b"  - {id: b, name: B, categoryId: c, tags: *t}\n"
    )
    assert [getattr(entry.entity, "tags", None) for entry in document.entries] == [
        None,
        ("x", "y"),
        ("x", "y"),
    ]


def test_a_key_stands_for_the_id_that_has_it() -> None:
    log = TenantLog()
    log.entities[("categories", "cat-1")] = Category(id="cat-1", key="music", name="Old", version=3)
    entries = read_document(b"categories: [{key: music, name: New}, {key: books, name: Books}]").entries
    plan = plan_import("demo", log, entries, "test", AT, False)
    assert plan.diff.updated == (("categories", "cat-1"),)
    assert plan.diff.created == (("categories", "books"),)
    changed = plan.changes["categories", "cat-1"]
    assert changed is not None
    assert (changed.version, changed.name) == (4, "New")


def test_what_is_the_servers_is_read_over() -> None:
    text = b"categories: [{id: c, name: C, version: 9, createdAt: 2020-01-01T00:00:00Z, createdBy: eve}]"
    assert read_document(text).entries[0].entity == Category(id="c", name="C")


def test_pruning_what_is_in_use_is_refused() -> None:
    log = TenantLog()
    log.entities[("categories", "c")] = Category(id="c", name="C")
    log.entities[("offers", "o")] = Offer(id="o", name="O", category_id="c")
    entries = read_document(b"offers: [{id: o, name: O, categoryId: c}]").entries
    with pytest.raises(CatalogueInvalidError, match="there is no c among the categories"):
        plan_import("demo", log, entries, "test", AT, True)


def test_one_and_true_are_not_the_same() -> None:
    one = Offer(id="o", name="O", category_id="c", fields={"a": 1})
    assert same_content(one, Offer(id="o", name="O", category_id="c", fields={"a": 1}, version=4))
    assert not same_content(one, Offer(id="o", name="O", category_id="c", fields={"a": True}))


def test_an_export_is_in_order_and_without_defaults() -> None:
    entities: dict[tuple[str, str], Entity] = {
        ("decision-flows", "f"): DecisionFlow(
            id="f", name="F", status="active", ranking=Ranking(max_per_category=2)
        ),
        ("offers", "b"): Offer(id="b", name="B", category_id="c", created_at=AT, version=7),
        ("offers", "a"): Offer(id="a", name="A", category_id="c", priority=50.0, tags=("x",)),
        ("categories", "c"): Category(id="c", name="C"),
    }
    assert list(document_of("demo", entities).items()) == [
        ("tenant", "demo"),
        ("categories", [{"id": "c", "name": "C"}]),
        (
            "offers",
            [
                {"id": "a", "name": "A", "categoryId": "c", "priority": 50.0, "tags": ["x"]},
                {"id": "b", "name": "B", "categoryId": "c"},
            ],
        ),
        ("decision-flows", [{"id": "f", "name": "F", "status": "active", "ranking": {"maxPerCategory": 2}}]),
    ]


texts = st.text(st.characters(codec="utf-8"))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.from_regex(r"[-+.0-9eE:_oxT~]{1,8}", fullmatch=True),
    st.sampled_from(["no", "null", "~", "", "true", "<<", "=", "- a", "a: b", "#", "1e3", "0o7", "09", " x"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400)
@given(values)
def test_text_and_back(value: object) -> None:
    for text in (yaml_text({"v": value}), json_text({"v": value})):
        again = parse_text(text.encode())
        assert json.dumps(again) == json.dumps({"v": value})


entities = st.dictionaries(texts | st.just("id"), values, max_size=3)


@settings(max_examples=400)
@given(
    st.dictionaries(
        st.sampled_from(list(DOCUMENT_KINDS)), values | st.lists(entities), min_size=1, max_size=3
    )
)
def test_the_parts_of_an_export_are_the_whole_byte_for_byte(document: dict[str, object]) -> None:
    assert "".join(yaml_parts(document)) == yaml_text(document)
    assert "".join(json_parts(document)) == json.dumps(document, ensure_ascii=False, indent=2) + "\n"


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_no_text_breaks_the_parser(data: bytes) -> None:
    with contextlib.suppress(DocumentTextError):
        parse_text(data)


def test_other_yaml_readers_read_an_export_the_same() -> None:
    value = {"a": ["no", "1e3", "10:30", "2026-01-01", "012", 1.5, 3, True, None, "ö“\u2028"]}
    assert yaml.safe_load(yaml_text(value)) == value


def test_a_large_document_is_read_in_seconds() -> None:
    offers = [
        {"id": f"o{n}", "name": f"Offer {n}", "categoryId": "c", "tags": ["a", "b"]} for n in range(5000)
    ]
    text = yaml_text({"categories": [{"id": "c", "name": "C"}], "offers": offers})
    started = time.monotonic()
    assert len(read_document(text.encode()).entries) == 5001
    assert time.monotonic() - started < 10


def test_every_kind_can_be_named() -> None:
    assert read_document("".join(f"{kind}:\n" for kind in DOCUMENT_KINDS).encode()).entries == ()
