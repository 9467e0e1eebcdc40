"""Which fields an import changes: said exactly, and exactly when something changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.entities import Offer
from tables.catalogue_diff import FieldChange, entity_change
from tables.catalogue_document import same_content

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(["p", "q"]), VALUES)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[FieldChange, ...]:
    return entity_change(("offers", "o"), _offer(before), _offer(after)).changes


def _offer(fields: dict[str, Any]) -> Offer:
    return Offer(id="o", name="O", category_id="c", fields=fields)


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"p": 1}, {"p": 1}, ()),
        ({"p": 1}, {"p": True}, (FieldChange("fields.p", 1, True),)),
        ({"p": 1}, {"p": 1.0}, (FieldChange("fields.p", 1, 1.0),)),
        ({"p": None}, {}, (FieldChange("fields.p", before=None),)),
        ({}, {"p": None}, (FieldChange("fields.p", after=None),)),
        ({"p": [1, {"x": 2}]}, {"p": [1, {"x": 3}]}, (FieldChange("fields.p[1].x", 2, 3),)),
        ({"p": [1]}, {"p": [1, 2]}, (FieldChange("fields.p[1]", after=2),)),
        ({"p": {"x": 1}}, {"p": [1]}, (FieldChange("fields.p", {"x": 1}, [1]),)),
    ],
)
def test_the_smallest_value_that_differs_is_named(
    before: dict[str, Any], after: dict[str, Any], changes: tuple[FieldChange, ...]
) -> None:
    found = _changes(before, after)
    # By their text: 1 and true are equal otherwise.
    assert msgspec.json.encode(found) == msgspec.json.encode(changes)


@given(before=FIELDS, after=FIELDS)
def test_there_are_changes_exactly_when_the_content_differs(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert bool(_changes(before, after)) is not same_content(_offer(before), _offer(after))


def test_what_the_server_writes_is_no_change() -> None:
    newer = msgspec.structs.replace(_offer({}), version=7, created_by="somebody")
    assert entity_change(("offers", "o"), _offer({}), newer).changes == ()
