"""What an outcome closes for a while, as the fold keeps it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.decision.scopes import Standing
from app.decision.state import SUPPRESSIONS_MAX, Customer, Suppression
from app.decision.suppressions import lift_suppression, suppress
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding, catalogue

DAY_MS = 86_400_000


def _suppression(
    number: int, from_ms: int, until_ms: int, entity: str = "card", outcome: str = "dismiss"
) -> Suppression:
    return Suppression(f"s{number}", "pol", "offer", entity, outcome, from_ms, until_ms)


def _kept(*several: Suppression, now_ms: int = 0) -> list[Suppression]:
    customer = Customer("t", "c")
    for one in several:
        suppress(customer, [one], now_ms)
    return customer.suppressions


@pytest.mark.parametrize(
    ("several", "kept"),
    [
        ([_suppression(1, 0, 10)], [_suppression(1, 0, 10)]),
        ([_suppression(1, 0, 10), _suppression(2, 5, 15)], [_suppression(2, 0, 15)]),
        ([_suppression(1, 5, 15), _suppression(2, 0, 10)], [_suppression(1, 0, 15)]),
        ([_suppression(1, 0, 10), _suppression(1, 0, 10)], [_suppression(1, 0, 10)]),
        ([_suppression(1, 0, 10), _suppression(2, 10, 20)], [_suppression(2, 0, 20)]),
        (
            [_suppression(1, 0, 10), _suppression(2, 11, 20)],
            [_suppression(1, 0, 10), _suppression(2, 11, 20)],
        ),
        (
            [_suppression(1, 0, 10), _suppression(2, 20, 30), _suppression(3, 5, 25)],
            [_suppression(2, 0, 30)],
        ),
        (
            [_suppression(1, 0, 10), _suppression(2, 0, 10, "house")],
            [_suppression(1, 0, 10), _suppression(2, 0, 10, "house")],
        ),
    ],
)
def test_suppressions_that_touch_are_one(several: list[Suppression], kept: list[Suppression]) -> None:
    assert _kept(*several) == kept


def test_what_is_over_closes_nothing() -> None:
    assert _kept(_suppression(1, 0, 10), now_ms=10) == []
    assert _kept(_suppression(1, 0, 10), now_ms=9) == [_suppression(1, 0, 10)]


def test_those_that_end_last_are_kept() -> None:
    kept = _kept(*[_suppression(n, 0, 1_000 - n, f"o{n}") for n in range(SUPPRESSIONS_MAX + 20)])
    assert {one.until_ms for one in kept} == set(range(1_000 - SUPPRESSIONS_MAX + 1, 1_001))


def test_a_suppression_is_lifted_by_its_id() -> None:
    customer = Customer("t", "c")
    suppress(customer, [_suppression(1, 0, 10), _suppression(2, 0, 10, "house")], 0)
    assert lift_suppression(customer, "s1")
    assert [one.suppression_id for one in customer.suppressions] == ["s2"]
    assert not lift_suppression(customer, "s1")


def test_a_response_closes_what_the_catalogue_says_in_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Standing, int]] = []

    def say(_: object, outcome: str, standing: Standing, at_ms: int) -> Sequence[Suppression]:
        asked.append((outcome, standing, at_ms))
        return (_suppression(len(asked), at_ms, at_ms + DAY_MS),)

    tenant = catalogue()
    monkeypatch.setattr(tenant, "suppressing_outcomes", frozenset({"dismiss"}))
    monkeypatch.setattr(type(tenant), "suppressions_of", say)
    folding = Folding(tenant)
    folding.decision(1)
    folding.response("dismiss", to=(1, 2), at_ms=NOW_MS - DAY_MS + 1)
    folding.response("click", to=(1, 2))
    standing = Standing("house", "house-site", "site", ("loans", "home"), None)
    assert asked == [("dismiss", standing, NOW_MS - DAY_MS + 1)]
    assert folding.customer.suppressions == [_suppression(1, NOW_MS - DAY_MS + 1, NOW_MS + 1)]
    folding.response("dismiss", to=(1, 2), at_ms=NOW_MS - DAY_MS)
    assert len(folding.customer.suppressions) == 1, "over by now"
    folding.now_ms += 1
    folding.response("click", to=(1, 1))
    assert folding.customer.suppressions == [], "swept"


def test_a_duplicate_closes_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = catalogue()
    monkeypatch.setattr(tenant, "suppressing_outcomes", frozenset({"dismiss"}))
    monkeypatch.setattr(type(tenant), "suppressions_of", lambda *_: (_suppression(1, NOW_MS, NOW_MS + 10),))
    folding = Folding(tenant)
    for _ in range(2):
        folding.response("dismiss", creativeId="card-site", idempotencyKey="k")
        lift_suppression(folding.customer, "s1")
    assert folding.customer.suppressions == []


def test_a_write_that_only_lifts_leaves_the_profile_as_it_is() -> None:
    folding = Folding()
    suppress(folding.customer, [_suppression(1, NOW_MS, NOW_MS + 10)], NOW_MS)
    assert folding.profile(liftSuppressions=["s1", "s9"]).status == "recorded"
    assert folding.customer.suppressions == []
    assert folding.profile(liftSuppressions=["s1"]).status == "duplicate"
    assert (folding.customer.profile, folding.customer.known_since_ms) == (None, 0)


def test_a_profile_may_lift_too() -> None:
    folding = Folding()
    suppress(folding.customer, [_suppression(1, NOW_MS, NOW_MS + 10)], NOW_MS)
    assert folding.profile(liftSuppressions=["s1"], tags=["vip"]).status == "recorded"
    assert folding.customer.profile is not None
    assert (folding.customer.suppressions, folding.customer.profile.tags) == ([], ("vip",))


def test_what_is_over_is_not_lifted() -> None:
    folding = Folding()
    suppress(folding.customer, [_suppression(1, NOW_MS, NOW_MS + 10)], NOW_MS)
    folding.now_ms += 10
    assert folding.profile(liftSuppressions=["s1"]).status == "duplicate"
