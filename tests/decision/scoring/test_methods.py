"""The scoring methods, through decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pytest

from app.decision.decide import CustomerView, Decided, DecisionRequest, decide
from app.decision.flow import CompiledFlow
from app.decision.learning.evidence import NOTHING, Tally
from app.decision.shared import Shared
from app.decision.state import Profile
from tests.decision.building import NOW_MS, shop


class Evidence:
    """Evidence as a table."""

    def __init__(self, tallies: Mapping[str, tuple[int, int]], weights: bytes | None = None) -> None:
        self._tallies = tallies
        self._weights = weights

    def tally(self, key: str, /) -> Tally:
        return Tally(*self._tallies[key]) if key in self._tallies else NOTHING

    def weights(self, model_key: str, /) -> bytes | None:
        return self._weights


def flow(**scoring: Any) -> dict[str, Any]:
    return {"id": "flow", "name": "Flow", "status": "active", "default": True, "scoring": scoring}


def decided(
    scoring: dict[str, Any],
    evidence: Mapping[str, tuple[int, int]] | None = None,
    *,
    customer: CustomerView | None = None,
    bypassed: frozenset[str] = frozenset(),
    salt: str = "salt",
    probe: Any = lambda: 0.0,
    channel_id: str = "mail",
    limit: int = 10,
    **more: Any,
) -> Decided:
    compiled = _compiled(json.dumps({"decision_flows": [flow(**scoring)], **more}))
    shared = Shared(evidence=Evidence(evidence or {}), bypassed=bypassed)
    request = DecisionRequest(limit=limit, channel_id=channel_id)
    return decide(compiled, request, customer or CustomerView("ann"), NOW_MS, salt, probe, shared)


def scores(result: Decided) -> dict[str, float]:
    return {one.offer_id: one.score for one in result.decisions}


@lru_cache(maxsize=8)
def _compiled(documents: str) -> CompiledFlow:
    found = shop(**json.loads(documents)).resolve_flow(None, None, None)
    assert found is not None
    return found


EVIDENCE = {
    "offer/card": (100, 30),
    "offer/house": (10, 5),
    "category/loans": (40, 4),
    "tenant": (200, 50),
}

UNFIT = {
    "id": "adult",
    "name": "Adult",
    "kind": "attribute_condition",
    "effect": "fit",
    "multiplier": 0.5,
    "scopes": [{"scope": "category", "id": "cards"}],
    "config": {"field": "customer.age", "operator": "gte", "value": 18},
}


def test_propensity_is_the_chain_times_fit() -> None:
    result = decided({"method": "propensity"}, EVIDENCE, qualification_rules=[UNFIT])
    assert scores(result) == pytest.approx({"card": 0.15, "house": (5 + 10 * 0.1) / 20, "car": 0.1})
    assert [one.offer_id for one in result.decisions] == ["house", "card", "car"]
    card = result.decisions[1].score_explanation
    assert card == {
        "method": "propensity",
        "propensity": 0.3,
        "propensitySource": "offer",
        "impressions": 100,
        "fit": 0.5,
        "finalScore": pytest.approx(0.15),
    }


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({}, 0.3**0.4 * 0.5**0.2 * 0.8**0.3 * 0.6**0.1),
        ({"p": 1.0, "r": 0, "i": 0, "e": 0}, 0.3),
        ({"p": 0, "r": 0, "i": 0, "e": 1}, 0.6),
        ({"p": 0, "r": 1, "i": 0, "e": 0}, 0.5),
    ],
)
def test_formula_is_the_weighted_geometric_mean(weights: dict[str, float], expected: float) -> None:
    card = {
        "id": "card", "name": "Card", "categoryId": "cards", "priority": 1, "weight": 60, "businessValue": 80,
    }  # fmt: skip
    result = decided(
        {"method": "formula", "weights": weights}, EVIDENCE, qualification_rules=[UNFIT], offers=[card]
    )
    assert scores(result)["card"] == pytest.approx(expected)


def test_a_zero_factor_is_zero() -> None:
    card = {"id": "card", "name": "Card", "categoryId": "cards", "businessValue": 0}
    assert scores(decided({"method": "formula"}, EVIDENCE, offers=[card]))["card"] == 0.0


@pytest.mark.parametrize(
    ("expression", "card", "degraded"),
    [
        ("score.propensity * score.fit", 0.3, False),
        ("score.priority + score.weight / 1000", 90.1, False),
        ("customer.age * score.businessValue", 30 * 50, False),
        ("customer.nothing + 1", 0.0, True),
        ("'text'", 0.0, True),
        ("customer.age > 3", 0.0, True),
        ("attributes.x / 0", 0.0, True),
        ("-2 * score.priority", -180, False),
    ],
)
def test_expression_is_any_formula(expression: str, card: float, degraded: bool) -> None:
    customer = CustomerView("ann", Profile(attributes={"age": 30}))
    result = decided({"method": "expression", "expression": expression}, EVIDENCE, customer=customer)
    assert scores(result)["card"] == pytest.approx(card)
    assert result.degraded_scoring is degraded


SCORECARD = {
    "id": "sc", "key": "sc", "name": "s", "kind": "scorecard",
    "config": {"base": 0, "features": [{"field": "customer.age", "weight": 0.1}]},
}  # fmt: skip


def test_a_model_stands_behind_the_evidence_or_before_it() -> None:
    customer = CustomerView("ann", Profile(attributes={"age": 0}))
    only = {"offer/card": (100, 30)}
    behind = decided({"method": "propensity", "modelId": "sc"}, only, customer=customer, models=[SCORECARD])
    assert scores(behind) == pytest.approx({"card": 0.3, "house": 0.5, "car": 0.5})
    before = decided(
        {"method": "propensity", "modelId": "sc", "propensityFrom": "model"},
        only,
        customer=customer,
        models=[SCORECARD],
    )
    assert scores(before) == pytest.approx({"card": 0.5, "house": 0.5, "car": 0.5})
    assert before.decisions[0].score_explanation["propensitySource"] == "model"


def test_a_bypassed_model_gives_half_the_weight_and_says_so() -> None:
    result = decided(
        {"method": "propensity", "modelId": "sc"},
        EVIDENCE,
        models=[SCORECARD],
        bypassed=frozenset({"sc"}),
        qualification_rules=[UNFIT],
    )
    assert result.degraded_scoring
    assert scores(result) == pytest.approx({"card": 0.25, "house": 0.5, "car": 0.5})
    assert result.decisions[0].score_explanation["method"] == "bypassed"
    assert result.asked_models == {}


def test_a_model_that_overruns_is_told_and_its_answer_still_counts() -> None:
    ticks = iter([0.0, 26.0])
    result = decided({"method": "propensity", "modelId": "sc"}, models=[SCORECARD], probe=lambda: next(ticks))
    assert result.asked_models == {"sc": True}
    assert result.degraded_scoring


def test_a_model_in_time_is_told_too() -> None:
    ticks = iter([0.0, 25.0])
    result = decided({"method": "propensity", "modelId": "sc"}, models=[SCORECARD], probe=lambda: next(ticks))
    assert result.asked_models == {"sc": False}
    assert not result.degraded_scoring


def test_the_floor_is_the_scoring_s() -> None:
    result = decided({"method": "propensity", "floor": 0.2}, EVIDENCE)
    assert set(scores(result)) == {"card", "house"}
    assert result.removals == {"floor": 1}
