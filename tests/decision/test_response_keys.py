"""What a response's idempotency key stands for: tenant, customer, outcome and resolved target; for 7 days."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.fold import CONFLICT, DUPLICATE, RECORDED
from app.decision.ids import INTERACTION
from app.decision.state import (
    DAY_MS,
    INTERACTIONS_MAX,
    RECOMMENDATION_MAX,
    RECOMMENDATION_SEGMENT,
    SEEN_MAX,
    SEEN_SEGMENT,
)
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding

KEY = {"idempotencyKey": "k"}
CARD: dict[str, Any] = {"creativeId": "card-site"}


def _status(folding: Folding, outcome: str = "click", **fields: Any) -> str:
    return folding.response(outcome, **{**KEY, **fields}).status


def test_the_same_again_is_a_duplicate_with_the_same_id() -> None:
    folding = Folding()
    first = folding.response("click", **KEY, **CARD)
    again = folding.response("click", **KEY, **CARD)
    assert (first.status, again.status) == (RECORDED, DUPLICATE)
    assert first.interaction_id == again.interaction_id
    assert first.interaction_id.startswith(f"{INTERACTION}_0_")


def test_a_duplicate_says_when_the_first_counted() -> None:
    folding = Folding()
    first = folding.response("click", **KEY, **CARD)
    assert first.at_ms == folding.now_ms
    folding.now_ms += 60_000
    assert folding.response("click", **KEY, **CARD).at_ms == first.at_ms
    # Its interaction is pushed out; the key is still known.
    for number in range(INTERACTIONS_MAX):
        folding.response("click", idempotencyKey=f"k{number}", **CARD)
    again = folding.response("click", **KEY, **CARD)
    assert (again.status, again.at_ms) == (DUPLICATE, first.at_ms)


def test_conversion_is_convert() -> None:
    folding = Folding()
    first = folding.response("conversion", **KEY, **CARD)
    again = folding.response("convert", **KEY, **CARD)
    assert (again.status, again.interaction_id) == (DUPLICATE, first.interaction_id)


@pytest.mark.parametrize("more", [{"offerId": "card"}, {"channelId": "site"}])
def test_a_target_named_more_fully_is_the_same_target(more: dict[str, Any]) -> None:
    folding = Folding()
    assert _status(folding, **CARD) == RECORDED
    assert _status(folding, **CARD, **more) == DUPLICATE


def test_another_outcome_or_target_is_another_response() -> None:
    folding = Folding()
    folding.decision(1)
    folding.decision(2)
    assert _status(folding, **CARD) == RECORDED
    assert _status(folding, "accept", **CARD) == RECORDED
    assert _status(folding, creativeId="house-site") == RECORDED
    assert _status(folding, offerId="card") == RECORDED
    for to in ((1, 1), (1, 2), (2, 1)):
        assert _status(folding, to=to) == RECORDED
        assert _status(folding, to=to, idempotencyKey="other") == RECORDED


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"conversionValue": 0}),
        ({"conversionValue": 5}, {}),
        ({"conversionValue": 5}, {"conversionValue": 5.01}),
        ({}, {"at_ms": NOW_MS}),
        ({"at_ms": NOW_MS}, {}),
        ({"at_ms": NOW_MS}, {"at_ms": NOW_MS - 1}),
    ],
)
def test_another_value_or_explicit_time_is_a_conflict(first: dict[str, Any], second: dict[str, Any]) -> None:
    folding = Folding()
    assert _status(folding, **CARD, **first) == RECORDED
    assert _status(folding, **CARD, **second) == CONFLICT
    assert _status(folding, **CARD, **first) == DUPLICATE


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"conversionValue": 5}, {"conversionValue": 5.0}),
        ({"timestamp": "2026-03-10T14:30:00+01:00"}, {"timestamp": "2026-03-10T13:30:00Z"}),
        ({"metadata": {"a": 1}}, {"metadata": {"a": 2}, "context": {"b": 1}}),
    ],
)
def test_the_same_value_and_instant_in_other_words_is_a_duplicate(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    folding = Folding()
    assert _status(folding, **CARD, **first) == RECORDED
    assert _status(folding, **CARD, **second) == DUPLICATE


def test_a_key_is_remembered_for_seven_days() -> None:
    folding = Folding()
    assert _status(folding, **CARD) == RECORDED
    folding.now_ms += 7 * DAY_MS - 1
    assert _status(folding, **CARD) == DUPLICATE
    folding.now_ms += 1
    assert _status(folding, **CARD) == RECORDED


@pytest.mark.parametrize(("others", "status"), [(SEEN_MAX - 1, DUPLICATE), (SEEN_MAX, RECORDED)])
def test_a_key_is_remembered_for_a_thousand_keys(others: int, status: str) -> None:
    assert SEEN_MAX == 1_000
    assert SEEN_SEGMENT > 1, "entries beyond the bound are stored, and must not count"
    folding = Folding()
    assert _status(folding, **CARD) == RECORDED
    for number in range(others):
        assert _status(folding, **CARD, idempotencyKey=f"other-{number}") == RECORDED
    assert _status(folding, **CARD) == status


@pytest.mark.parametrize("also", [{"creativeId": "card-site"}, {"offerId": "card"}])
def test_a_late_retry_counts_once_though_its_recommendation_is_forgotten(also: dict[str, Any]) -> None:
    """Keys live 7 days; a busy customer has 50 recommendations in one."""
    folding = Folding()
    folding.decision(0)
    first = folding.response("click", **KEY, **also, to=(0, 1))
    for number in range(1, RECOMMENDATION_MAX + RECOMMENDATION_SEGMENT + 1):
        folding.decision(number)
    fresh = folding.response("click", **also, to=(0, 1))
    assert fresh.status == RECORDED, "forgotten, and counted by what it names"
    again = folding.response("click", **KEY, **also, to=(0, 1))
    assert (again.status, again.interaction_id) == (DUPLICATE, first.interaction_id)
