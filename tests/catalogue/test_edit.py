"""Edits beside a record that this version cannot read: it is mended first, and can be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.decision.entities import Category
from tables.catalogue_edit import Draft, EditRefusedError, plan_create, plan_delete, plan_replace
from tables.catalogue_log import TenantLog
from tests.catalogue.test_log import AT


@pytest.fixture
def log() -> TenantLog:
    """Category `a`, and `b`, which is from a later version."""
    log = TenantLog()
    log.entities["categories", "a"] = Category(id="a", name="A", version=3)
    log.unreadable["categories", "b"] = "it has format 9"
    return log


def _draft(name: str) -> Draft:
    return Draft(kind="categories", entity=Category(name=name), by="test")


def test_nothing_else_can_be_changed(log: TenantLog) -> None:
    edits: tuple[Callable[[], object], ...] = (
        lambda: plan_create("shop", log, _draft("C"), "c", AT),
        lambda: plan_replace("shop", log, _draft("A"), "a", None, AT),
        lambda: plan_delete("shop", log, "categories", "a", None),
    )
    for edit in edits:
        with pytest.raises(EditRefusedError) as refused:
            edit()
        assert refused.value.reason == "conflict"
        assert [one.path for one in refused.value.problems] == ["categories[b]"]


def test_it_is_there_and_can_be_replaced_or_deleted(log: TenantLog) -> None:
    with pytest.raises(EditRefusedError) as refused:
        plan_create("shop", log, Draft(kind="categories", entity=Category(id="b", name="B"), by="t"), "c", AT)
    assert refused.value.problems[0].path == "id"
    replaced = plan_replace("shop", log, _draft("B"), "b", None, AT)
    assert replaced.entity is not None
    assert (replaced.entity.id, replaced.entity.version, replaced.total) == ("b", 1, 2)
    deleted = plan_delete("shop", log, "categories", "b", None)
    assert (dict(deleted.changes), deleted.total) == ({("categories", "b"): None}, 1)
