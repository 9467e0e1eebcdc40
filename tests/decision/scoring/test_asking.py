"""Asking models: once for an offer and request, never while bypassed, and no failure is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.decision.decide import Decided
from app.decision.learning.features import FeatureRow
from app.decision.learning.models import RowModel, Said
from tests.decision.building import rule
from tests.decision.scoring.test_methods import SCORECARD, decided, scores

THRESHOLD = rule("propensity_threshold", {"min": 0.1}, ("category", "loans"))
OFFERS = ["card", "house", "car"]
Calls = list[list[object]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The offers of each call of a model, as they come."""
    return spied(monkeypatch, lambda call: False)


def spied(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> Calls:
    """A model that says 0.5 of everything, or fails in some calls (counted from 0)."""
    seen: Calls = []

    def propensities(self: RowModel, rows: Sequence[FeatureRow], /) -> Said:
        seen.append([row("offer.id") for row in rows])
        return Said([0.5] * len(rows), fails(len(seen) - 1))

    monkeypatch.setattr(RowModel, "propensities", propensities)
    return seen


def asked(**more: Any) -> Decided:
    scoring = {"method": "propensity", "modelId": "sc", "propensityFrom": "model"}
    return decided(scoring, models=[SCORECARD], qualification_rules=[THRESHOLD], **more)


def test_a_rule_and_the_score_stage_ask_once_for_an_offer(calls: Calls) -> None:
    result = asked()
    assert scores(result) == dict.fromkeys(OFFERS, 0.5)
    # The rule asks for the two loans, one by one; scoring for what is left.
    assert sorted(map(len, calls)) == [1, 1, 1]
    assert sorted(str(offer) for call in calls for offer in call) == sorted(OFFERS)


def test_a_bypassed_model_is_asked_by_no_rule_either(calls: Calls) -> None:
    result = asked(bypassed=frozenset({"sc"}))
    assert calls == []
    assert result.asked_models == {}
    assert result.degraded_scoring


@pytest.mark.parametrize("failing", range(3))
def test_one_call_that_fails_is_a_failure_of_the_request(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, lambda call: call == failing)
    result = asked()
    assert len(calls) == 3
    assert result.asked_models == {"sc": True}
    assert result.degraded_scoring


#: How long each of the three calls takes, ms.
@pytest.mark.parametrize(
    ("took_ms", "overran"),
    [((8.0, 8.0, 9.0), False), ((8.0, 8.0, 10.0), True), ((26.0, 0.0, 0.0), True)],
)
def test_the_time_limit_is_for_all_calls_together(
    took_ms: tuple[float, ...], overran: bool, calls: Calls
) -> None:
    ticks = iter([tick for ms in took_ms for tick in (100.0, 100.0 + ms)])
    result = asked(probe=lambda: next(ticks))
    assert len(calls) == 3
    assert result.asked_models == {"sc": overran}
