"""A reserved contact counts until it is reported or runs out, and never twice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.contacts.reserving import counted_contacts
from app.decision.fold import reservations_of
from app.decision.records import DecisionMade, decode_decision
from app.decision.refusals import Refused
from app.decision.responses import unpark
from app.decision.state import RESERVATION_MAX_MS, RESERVED_MAX
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding, decision, read, recommendation, response, target

HOUR_MS = 3_600_000


def _counts(folding: Folding, now_ms: int | None = None) -> list[str]:
    """The creatives of the contacts that count."""
    at_ms = folding.now_ms if now_ms is None else now_ms
    return [one.creative_id for one in counted_contacts(folding.customer, at_ms)]


def _reserving(number: int = 1, *ranks: int, until_ms: int = NOW_MS + HOUR_MS) -> dict[str, Any]:
    return {"number": number, "reserved": [[rank, until_ms] for rank in ranks]}


def test_a_reservation_counts_until_it_runs_out() -> None:
    folding = Folding()
    folding.decision(**_reserving(1, 1, 2))
    assert _counts(folding) == ["card-site", "house-site"]
    assert counted_contacts(folding.customer, NOW_MS)[0].at_ms == NOW_MS
    assert _counts(folding, NOW_MS + HOUR_MS - 1) == ["card-site", "house-site"]
    assert _counts(folding, NOW_MS + HOUR_MS) == []
    assert len(folding.customer.contacts) == 0


def test_an_impression_takes_the_reservations_place() -> None:
    folding = Folding()
    folding.decision(**_reserving(1, 1, 2))
    folding.response(to=(1, 1), at_ms=NOW_MS - 5)
    assert _counts(folding) == ["card-site", "house-site"]
    assert [one.at_ms for one in folding.customer.contacts] == [NOW_MS - 5]
    assert _counts(folding, NOW_MS + HOUR_MS) == ["card-site"], "reported, so it stays"


@pytest.mark.parametrize("outcome", ["click", "convert", "dismiss"])
def test_another_outcome_leaves_the_reservation(outcome: str) -> None:
    folding = Folding()
    folding.decision(**_reserving(1, 1))
    folding.response(outcome, to=(1, 1))
    assert _counts(folding) == ["card-site"]
    assert _counts(folding, NOW_MS + HOUR_MS) == []


def test_what_ran_out_is_swept_at_the_next_decision_or_response() -> None:
    for then in ("decision", "response"):
        folding = Folding()
        folding.decision(**_reserving(1, 1))
        folding.now_ms += HOUR_MS
        if then == "decision":
            folding.decision(2)
        else:
            folding.response("click", to=(1, 2))
        assert folding.customer.reserved == []


def test_an_impression_after_the_end_counts_once() -> None:
    folding = Folding()
    folding.decision(**_reserving(1, 1))
    folding.now_ms += 2 * HOUR_MS
    folding.response(to=(1, 1))
    assert _counts(folding) == ["card-site"]


def test_a_decision_folded_after_its_end_reserves_nothing() -> None:
    folding = Folding()
    folding.now_ms += HOUR_MS
    folding.decision(**_reserving(1, 1), atMs=NOW_MS)
    assert folding.customer.reserved == []


def test_an_impression_that_respond_resolved_may_come_before_its_decision() -> None:
    folding = Folding()
    early = response("impression", to=(1, 1))
    early.target = target(recommendation_id=recommendation(1), rank=1, contact=True)
    folding.fold(early)
    underway = reservations_of(decision(**_reserving(1, 1, 2)))
    assert len(counted_contacts(folding.customer, NOW_MS, underway)) == 2, "overlay: reported, and rank 2"
    folding.decision(**_reserving(1, 1, 2))
    assert _counts(folding) == ["card-site", "house-site"]
    assert [one.rank for one in folding.customer.reserved] == [2]


def test_a_parked_impression_takes_the_reservations_place_too() -> None:
    folding = Folding()
    folding.response(to=(1, 1))
    folding.decision(**_reserving(1, 1))
    assert [one.verdict.status for one in unpark(folding.customer, folding.clock)] == ["recorded"]
    assert (_counts(folding), folding.customer.reserved) == (["card-site"], [])


def test_what_is_a_contact_already_is_not_reserved() -> None:
    made = decision(**_reserving(1, 1, 2), contactRanks=[2])
    assert [one.rank for one in reservations_of(made)] == [1]


def test_no_active_reservation_is_dropped_however_many_there_are() -> None:
    folding = Folding()
    decisions = RESERVED_MAX // 2 + 60
    for number in range(decisions):
        folding.decision(**_reserving(number, 1, 2, until_ms=NOW_MS + HOUR_MS - number))
    assert len(folding.customer.reserved) == RESERVED_MAX
    assert len(_counts(folding)) == 2 * decisions
    assert len(folding.customer.contacts) == 2 * decisions - RESERVED_MAX
    ends = [one.until_ms for one in folding.customer.reserved]
    assert min(ends) == NOW_MS + HOUR_MS - RESERVED_MAX // 2 + 1, "those that end soonest became contacts"


@pytest.mark.parametrize(
    "reserved",
    [
        [[1, NOW_MS + RESERVATION_MAX_MS + 1]],
        [[1, -1]],
        [[1]],
        [[1, 2**60]],
        [["1", 5]],
        [[1, 5]] * 2_501,
    ],
)
def test_a_reservation_out_of_bounds_is_refused(reserved: Any) -> None:
    body = msgspec.json.decode(msgspec.json.encode(decision(1)))
    assert isinstance(read(decode_decision, {**body, "reserved": []}), DecisionMade)
    assert isinstance(read(decode_decision, {**body, "reserved": reserved}), Refused)


def test_ranks_that_were_not_shown_reserve_nothing() -> None:
    folding = Folding()
    folding.decision(**_reserving(1, 0, 3, 9_999))
    assert folding.customer.reserved == []


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["decide", "report", "report early", "click", "pass"]),
        st.integers(1, 4),
        st.integers(1, 2),
    ),
    max_size=25,
)


@settings(max_examples=200)
@given(_STEPS)
def test_each_contact_counts_once_whatever_the_order(steps: list[tuple[str, int, int]]) -> None:
    folding, decided, reported = Folding(), dict[int, int](), set[tuple[int, int]]()
    for step, number, rank in steps:
        if step == "decide" and number not in decided:
            decided[number] = folding.now_ms + HOUR_MS
            folding.decision(**_reserving(number, 1, 2, until_ms=decided[number]))
        elif step.startswith("report") and (number, rank) not in reported:
            one = response("impression", to=(number, rank))
            one.target = target(recommendation_id=recommendation(number), rank=rank, contact=True)
            if number in decided or step == "report early":
                folding.fold(one)
                reported.add((number, rank))
        elif step == "click" and number in decided:
            folding.response("click", to=(number, rank))
        elif step == "pass":
            folding.now_ms += HOUR_MS // 3
        running = {(number, rank) for number, until_ms in decided.items() for rank in (1, 2)
                   if until_ms > folding.now_ms}  # fmt: skip
        assert len(_counts(folding)) == len(reported | running)
