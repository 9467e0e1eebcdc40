"""Strategies that explore: who is shown, and with which selection probability."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from typing import Any

import pytest

from app.decision.decide import Decided
from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.evidence import Tally
from app.decision.learning.strategies import Strategy
from app.decision.learning.thompson import Thompson
from tests.decision.building import SHOP
from tests.decision.scoring.test_methods import UNFIT, Evidence, decided

EVIDENCE = {"offer/card": (100, 30), "offer/house": (100, 10), "offer/car": (100, 20)}


def model(kind: str, **config: Any) -> dict[str, Any]:
    return {"id": "m", "key": "m", "name": "m", "kind": kind, "config": config}


def explored(kind: str, config: dict[str, Any], salt: str, **more: Any) -> Decided:
    more = {"evidence": EVIDENCE, "method": "propensity", **more}
    scoring = {"method": more.pop("method"), "modelId": "m"}
    return decided(scoring, more.pop("evidence"), models=[model(kind, **config)], salt=salt, **more)


EPSILON = {"start": 0.3, "min": 0.3, "decay": 0}


def test_epsilon_greedy_probabilities_are_exact_at_each_rank() -> None:
    for salt in map(str, range(200)):
        result = explored("epsilon_greedy", EPSILON, salt)
        left = ["card", "car", "house"]
        for one in result.decisions:
            share = 0.3 / len(left)
            expected = share + (0.7 if one.offer_id == left[0] else 0)
            assert one.selection_probability == pytest.approx(expected)
            assert one.selection_draws is None
            assert one.score_explanation["selectionProbability"] == one.selection_probability
            left.remove(one.offer_id)


def test_epsilon_greedy_shows_as_often_as_it_says() -> None:
    first = Counter(
        explored("epsilon_greedy", EPSILON, f"s{n}", limit=1).decisions[0].offer_id for n in range(3_000)
    )
    # 0.8, 0.1, 0.1: five standard errors are 0.037 and 0.028.
    assert first["card"] / 3_000 == pytest.approx(0.8, abs=0.037)
    assert first["car"] / 3_000 == pytest.approx(0.1, abs=0.028)
    assert first["house"] / 3_000 == pytest.approx(0.1, abs=0.028)


def test_thompson_says_about_as_often_as_it_shows() -> None:
    close = {"offer/card": (100, 20), "offer/house": (100, 22), "offer/car": (100, 18)}
    shown: Counter[str] = Counter()
    said: dict[str, float] = {}
    for n in range(1_500):
        one = explored("thompson", {"draws": 1_000}, f"s{n}", evidence=close, limit=1).decisions[0]
        shown[one.offer_id] += 1
        said[one.offer_id] = one.selection_probability
        assert one.selection_draws == 1_000
    for offer_id, probability in said.items():
        # Both are estimates: standard errors 0.013 (shown) and 0.016 (said).
        assert shown[offer_id] / 1_500 == pytest.approx(probability, abs=0.08), offer_id


@pytest.mark.parametrize("kind", ["thompson", "epsilon_greedy"])
@pytest.mark.parametrize("method", ["propensity", "formula"])
def test_the_order_of_the_catalogue_changes_nothing(kind: str, method: str) -> None:
    results = {
        tuple(
            (one.offer_id, one.score, one.selection_probability)
            for one in explored(kind, {}, "salt", method=method, offers=list(order)).decisions
        )
        for order in permutations(SHOP["offers"])
    }
    assert len(results) == 1


@pytest.mark.parametrize("kind", ["thompson", "epsilon_greedy"])
def test_mandatory_offers_come_first_with_certainty(kind: str) -> None:
    terms = {"id": "house", "name": "House", "categoryId": "loans", "mandatory": True}
    for n in range(50):
        first, second, _ = explored(kind, {}, f"s{n}", offers=[terms]).decisions
        assert (first.offer_id, first.selection_probability) == ("house", 1.0)
        assert second.selection_probability < 1.0


def test_what_a_policy_removes_in_the_walk_is_no_arm_any_more() -> None:
    cap = {
        "id": "cap", "name": "cap", "kind": "frequency_cap", "config": {"perDay": 1},
        "scopes": [{"scope": "category", "id": "loans"}],
    }  # fmt: skip
    for n in range(100):
        result = explored("epsilon_greedy", EPSILON, f"s{n}", contact_policies=[cap])
        assert len(result.decisions) == 2
        last = result.decisions[1]
        if last.offer_id == "card":
            assert last.selection_probability == pytest.approx(1.0)
        assert result.removals == {"frequency_cap:cap": 1}


def test_without_a_strategy_what_is_shown_was_certain() -> None:
    result = decided({"method": "propensity"}, EVIDENCE)
    assert {one.selection_probability for one in result.decisions} == {1.0}
    assert "selectionProbability" not in result.decisions[0].score_explanation


def test_a_bypassed_strategy_does_not_explore() -> None:
    result = explored("epsilon_greedy", EPSILON, "s", bypassed=frozenset({"m"}))
    assert {one.selection_probability for one in result.decisions} == {1.0}
    assert result.degraded_scoring


def test_a_decision_draws_each_offer_once_for_all_its_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    score = Thompson.score

    def counting(self: Thompson, arm: str, tally: Tally, salt: str) -> float:
        drawn.append(arm)
        return score(self, arm, tally, salt)

    monkeypatch.setattr(Thompson, "score", counting)
    assert len(explored("thompson", {}, "s").decisions) == 3
    assert sorted(drawn) == ["car", "card", "house"]


UNFIT_LOANS = {**UNFIT, "scopes": [{"scope": "category", "id": "loans"}]}


@pytest.mark.parametrize("kind", ["thompson", "epsilon_greedy"])
@pytest.mark.parametrize("method", ["propensity", "formula"])
def test_each_rank_is_as_if_those_above_had_never_stood(kind: str, method: str) -> None:
    """The rest of an answer is what the rest of the offers would get, with loans that fit by half."""
    factors = {"card": 1.0, "house": 0.5, "car": 0.5}
    if method == "formula":
        # The offers' weight and business value are the same: 50 each, 0.5^(i + e) of 1/p.
        factors = {offer_id: (fit**0.2 * 0.5**0.3 * 0.5**0.1) ** 2.5 for offer_id, fit in factors.items()}
    offers = [{**offer, "weight": 50, "businessValue": 50} for offer in SHOP["offers"]]
    strategy: Strategy = Thompson() if kind == "thompson" else EpsilonGreedy()
    rewards = Evidence({key.removeprefix("offer/"): counts for key, counts in EVIDENCE.items()})
    for salt in map(str, range(40)):
        result = explored(kind, {}, salt, method=method, offers=offers, qualification_rules=[UNFIT_LOANS])
        left = dict(factors)
        assert len(result.decisions) == 3
        for one in result.decisions:
            expected = strategy.weigh(left, rewards, salt).probabilities[one.offer_id]
            assert one.selection_probability == pytest.approx(expected)
            del left[one.offer_id]
