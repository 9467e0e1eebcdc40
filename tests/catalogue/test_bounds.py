"""How much of a document is read, and how many entities a tenant may have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import tables.catalogue_document
import tables.catalogue_plan
from app.decision.catalogue import load_entity
from app.decision.entities import Category
from app.decision.loading import PROBLEMS_MAX as OF_ONE
from tables.catalogue_document import ENTITIES_MAX, PROBLEMS_MAX, CatalogueInvalidError, document_from
from tables.catalogue_edit import Draft, EditRefusedError, plan_create, plan_delete, plan_replace
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import plan_import
from tests.catalogue.building import entries_of
from tests.catalogue.test_log import AT


def categories(count: int, first: int = 0) -> dict[str, Any]:
    return {"categories": [{"id": f"c{n}", "name": "C"} for n in range(first, first + count)]}


def holding(count: int) -> TenantLog:
    """A tenant with so many categories, as an older release may have let it become."""
    tenant = TenantLog()
    for n in range(count):
        tenant.entities["categories", f"c{n}"] = Category(id=f"c{n}", name="C", version=1)
    return tenant


def told(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(CatalogueInvalidError) as raised:
        document_from(document)
    return [(one.path, one.message) for one in raised.value.problems]


def test_reading_ends_with_the_most_problems_that_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def counting(kind: str, body: object) -> Any:
        nonlocal read
        read += 1
        return load_entity(kind, body)

    monkeypatch.setattr(tables.catalogue_document, "load_entity", counting)
    wrong = [{"id": "o"}] * ENTITIES_MAX  # no name and no category
    assert len(told({"offers": wrong, "creatives": wrong, "channels": wrong})) == PROBLEMS_MAX
    assert read == PROBLEMS_MAX / 2
    assert len(told({str(n): [] for n in range(2 * PROBLEMS_MAX)})) == PROBLEMS_MAX


def test_the_fields_of_a_kind_are_not_found_anew_for_each_wrong_entity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, fields = 0, msgspec.structs.fields

    def counting(cls: Any) -> Any:
        nonlocal found
        found += 1
        return fields(cls)

    monkeypatch.setattr(msgspec.structs, "fields", counting)
    assert len(told({"offers": [{"id": "o", "budget": {"x": 1}}] * 100})) == 300
    assert found <= 10


def test_one_entity_tells_so_many_problems_at_most() -> None:
    for body in (
        {f"f{n}": 1 for n in range(5_000)},
        {"name": "R", "scopes": [7] * 5_000},
        {"a": ["\ud800"] * 5_000},
    ):
        problems = load_entity("qualification-rules", body)
        assert isinstance(problems, list)
        assert 0 < len(problems) <= OF_ONE


def test_a_document_holds_so_many_of_a_kind() -> None:
    assert len(document_from(categories(ENTITIES_MAX)).entries) == ENTITIES_MAX
    assert told(categories(ENTITIES_MAX + 1)) == [
        ("categories", f"holds {ENTITIES_MAX + 1} entities, more than {ENTITIES_MAX}")
    ]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """A lower bound on a tenant's entities of a kind."""
    monkeypatch.setattr(tables.catalogue_plan, "ENTITIES_MAX", 5)
    return 5


def _import(tenant: TenantLog, document: dict[str, Any], prune: bool = False) -> int:
    return plan_import("demo", tenant, entries_of(document), "test", AT, prune).total


def test_a_tenant_grows_to_so_many_of_a_kind_by_imports(few: int) -> None:
    assert _import(holding(few - 1), categories(1, few)) == few
    with pytest.raises(CatalogueInvalidError, match=r"categories: would be 6, and a tenant may have 5"):
        _import(holding(few), categories(1, few))
    assert _import(holding(few), categories(few, 100), prune=True) == few
    assert _import(holding(few), {"channels": [{"id": "w", "name": "W", "type": "web"}]}) == few + 1


def test_a_tenant_grows_to_so_many_of_a_kind_by_edits(few: int) -> None:
    draft = Draft(kind="categories", entity=Category(name="New"), by="test")
    assert plan_create("demo", holding(few - 1), draft, "new", AT).total == few
    with pytest.raises(EditRefusedError, match="a tenant may have 5 of a kind") as refused:
        plan_create("demo", holding(few), draft, "new", AT)
    assert (refused.value.reason, refused.value.problems[0].path) == ("invalid", "categories")


def test_a_tenant_that_has_more_already_changes_and_shrinks(few: int) -> None:
    large = holding(few + 3)
    draft = Draft(kind="categories", entity=Category(name="Other"), by="test")
    assert plan_replace("demo", large, draft, "c1", None, AT).total == few + 3
    assert plan_delete("demo", large, "categories", "c1", None).total == few + 2
    assert _import(large, categories(2)) == few + 3
    with pytest.raises(CatalogueInvalidError, match="would be 9"):
        _import(large, categories(1, 100))
