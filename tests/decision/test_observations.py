"""What folds let be learned: each contact once, each decision's first positive response once."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.fold import Verdict
from app.decision.observations import Observation
from app.decision.responses import unpark
from app.decision.state import CREDITED_MAX
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding, catalogue, event, recommendation, response, target

CARD = Observation(
    "impression", "card", "card-site", "cards", "site", recommendation(1), 1, "exp", "b", "model", (0.25,)
)
HOUSE = Observation("impression", "house", "house-site", "loans", "site", recommendation(1), 2)


def _kinds(verdict: Verdict) -> list[str]:
    return [one.kind for one in verdict.evidence]


def test_a_decision_is_the_impressions_that_it_counts() -> None:
    assert Folding().decision(1).evidence == ()
    assert Folding().decision(1, contactRanks=[1, 2]).evidence == (CARD, HOUSE)
    assert Folding().decision(1, contactRanks=[2], reserved=[[1, NOW_MS + 9]]).evidence == (HOUSE,)


def test_a_reported_impression_says_what_its_decision_knew() -> None:
    folding = Folding()
    folding.decision(1, reserved=[[1, NOW_MS + 9]])
    assert folding.response(to=(1, 1)).evidence == (CARD,)


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [
        ("impression", ["impression"]),
        ("defer", []),
        ("click", ["positive"]),
        ("convert", ["positive"]),
        ("conversion", ["positive"]),
        ("dismiss", []),
        ("opt_out", []),
        ("seen", ["impression"]),
        ("joy", ["positive"]),
    ],
)
def test_each_outcome_says_what_its_type_says(outcome: str, kinds: list[str]) -> None:
    own = [
        {"id": "seen", "key": "seen", "name": "s", "classification": "positive", "category": "impression"},
        {"id": "joy", "key": "joy", "name": "j", "classification": "positive"},
    ]
    folding = Folding(catalogue(outcome_types=own))
    folding.decision(1)
    assert _kinds(folding.response(outcome, to=(1, 1))) == kinds


def test_an_impression_that_the_decision_was_already_is_none() -> None:
    folding = Folding()
    shown = [[1, "card", "card-mail", "mail", "cards", None]]
    assert _kinds(folding.decision(1, shown=shown, contactRanks=[1])) == ["impression"]
    assert folding.response(to=(1, 1)).evidence == ()


def test_a_decision_is_credited_once() -> None:
    folding = Folding()
    folding.decision(1)
    folding.decision(2)
    about = [(1, 1), (1, 1), (1, 2), (2, 1), (1, 2), (2, 1)]
    assert [_kinds(folding.response("click", to=to)) for to in about] == [
        ["positive"], [], ["positive"], ["positive"], [], [],
    ]  # fmt: skip
    assert folding.response("click", to=(1, 1)).evidence == ()
    assert folding.response("convert", to=(1, 1)).evidence == ()


def test_direct_responses_count_each() -> None:
    folding = Folding()
    for _ in range(3):
        (seen,) = folding.response("click", creativeId="card-site").evidence
        assert seen == Observation("positive", "card", "card-site", "cards", "site")
    assert folding.customer.credited == []


def test_the_last_fifty_credits_are_remembered() -> None:
    folding = Folding()
    shown = [[rank, "card", "card-site", "site", "cards"] for rank in range(1, CREDITED_MAX + 2)]
    folding.decision(1, shown=shown)
    for rank in range(1, CREDITED_MAX + 2):
        assert _kinds(folding.response("click", to=(1, rank))) == ["positive"]
    assert len(folding.customer.credited) == CREDITED_MAX
    assert _kinds(folding.response("click", to=(1, 2))) == []
    assert _kinds(folding.response("click", to=(1, 1))) == ["positive"]


@pytest.mark.parametrize("again", [{}, {"conversionValue": 3.0}])
def test_duplicates_and_conflicts_say_nothing(again: dict[str, Any]) -> None:
    folding = Folding()
    assert _kinds(folding.response("click", creativeId="card-site", idempotencyKey="k")) == ["positive"]
    assert folding.response("click", creativeId="card-site", idempotencyKey="k", **again).evidence == ()


def test_a_parked_response_speaks_when_it_is_unparked() -> None:
    folding = Folding()
    assert folding.response(to=(1, 1)).evidence == ()
    assert folding.response("click", to=(1, 1)).evidence == ()
    folding.decision(1)
    done = unpark(folding.customer, folding.clock)
    assert [_kinds(one.verdict) for one in done] == [["impression"], ["positive"]]
    assert done[0].verdict.evidence == (CARD,)


def test_what_respond_resolved_holds_whatever_the_catalogue_says_now() -> None:
    folding = Folding()
    one = response("gone", to=(1, 1))
    one.target = target(
        outcome="gone", positive=True, recommendation_id=recommendation(1), rank=1, model_id="m"
    )
    (seen,) = folding.fold(one).evidence
    assert (seen.kind, seen.model_id, seen.rank) == ("positive", "m", 1)


def test_events_and_profiles_say_nothing() -> None:
    folding = Folding()
    assert folding.fold(event(type="view")).evidence == ()
    assert folding.profile(tags=["x"]).evidence == ()
