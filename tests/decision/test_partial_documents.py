"""A document that is wrong in one field is checked in the others too, and nothing is made up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import load_entity, problems_beside
from app.decision.entities import KINDS, Entity
from app.decision.index import EntityIndex
from app.decision.problems import Problem
from tests.decision.documents import ANY_JSON, nearly
from tests.decision.test_documents import SMALLEST

DAY, DAY_AFTER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def problems_of(kind: str, body: dict[str, Any]) -> list[Problem]:
    loaded = load_entity(kind, body)
    return loaded if isinstance(loaded, list) else []


@pytest.mark.parametrize(
    ("kind", "fields", "paths"),
    [
        (
            "tenant-settings",
            {"timeZone": "Mars", "corsOrigins": ["*"], "quotaPerMonth": -1},
            ["quotaPerMonth", "timeZone", "corsOrigins[0]"],
        ),
        ("offers", {"priority": 999, "startAt": DAY_AFTER, "endAt": DAY}, ["priority", "endAt"]),
        ("offers", {"categoryId": 1, "budget": {"maxSpendTotal": 5}},
         ["categoryId", "budget.spendPerDelivery"]),
        ("offers", {"fields": {"a": "\ud800"}, "priority": 999, "endAt": DAY, "startAt": DAY},
         ["fields.a", "priority", "endAt"]),
        ("qualification-rules", {"name": "", "effect": "fit"}, ["name", "multiplier"]),
        ("qualification-rules", {"effect": "fit", "scopes": [{"scope": "offer"}], "config": {}},
         ["scopes[0].id", "multiplier", "config.field", "config.operator"]),
        ("decision-flows", {"status": "active", "name": 1, "routes": [{}], "inventory": {"scope": "offers"}},
         ["name", "routes[0]", "inventory.ids"]),
        # What depends on a field that is wrong is not told.
        ("offers", {"startAt": "soon", "endAt": DAY}, ["startAt"]),
        ("qualification-rules", {"effect": "soft", "multiplier": 0.5}, ["effect"]),
        ("qualification-rules", {"kind": "other", "config": {}}, ["kind"]),
        ("channels", {"impressionTracking": 1, "reservationMs": 5}, ["impressionTracking"]),
        ("tenant-settings", {"tier": "gold", "rateLimitPerMin": 5}, ["tier"]),
    ],
)  # fmt: skip
def test_all_bad_fields_are_told_at_once_and_no_others(
    kind: str, fields: dict[str, Any], paths: list[str]
) -> None:
    told = [problem.path for problem in problems_of(kind, {**SMALLEST[kind], **fields})]
    assert sorted(told) == sorted(paths)


OTHERS = {
    (kind, entity_id): load_entity(kind, {**body, "id": entity_id})
    for kind, body in SMALLEST.items()
    for entity_id in "ab"
}
INDEX = EntityIndex({key: one for key, one in OTHERS.items() if isinstance(one, Entity)})


@settings(max_examples=600)
@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_whatever_a_document_says_it_can_be_held_against_the_others(data: st.DataObject, kind: str) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(KINDS[kind])]
    whole = {**SMALLEST[kind], "id": "a", **data.draw(nearly(*names))}
    for body in (data.draw(ANY_JSON), whole):
        found = problems_beside(kind, body, INDEX)
        assert all(isinstance(one, Problem) and not one.path.startswith(".") for one in found)


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


@settings(max_examples=600)
@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_what_is_told_of_other_fields_holds_whatever_the_wrong_ones_become(
    data: st.DataObject, kind: str
) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(KINDS[kind])}
    body = {**SMALLEST[kind], **data.draw(nearly(*fields))}
    told = problems_of(kind, body)
    wrong = {_top(one.path) for one in told if _top(one.path) in body and not _fits(fields, body, one)}
    if not wrong:
        return
    mended = {name: value for name, value in body.items() if name not in wrong}
    mended |= {name: SMALLEST[kind][name] for name in wrong & SMALLEST[kind].keys()}
    still = problems_of(kind, mended)
    assert {one for one in told if _top(one.path) not in wrong} <= set(still)


def _fits(fields: dict[str, Any], body: dict[str, Any], problem: Problem) -> bool:
    name = _top(problem.path)
    try:
        msgspec.json.encode(body[name])
        msgspec.convert(body[name], fields[name].type)
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError):
        return False
    return "finite" not in problem.message and "64 bits" not in problem.message
