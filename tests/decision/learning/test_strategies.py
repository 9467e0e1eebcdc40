"""Strategies: their probabilities, their picks, and that the order of the arms means nothing."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.evidence import NOTHING, Tally
from app.decision.learning.strategies import Drawn, Highest, RankingStrategy, Strategy, Weights
from app.decision.learning.thompson import Thompson


class Log:
    """Evidence from a dict."""

    def __init__(self, **tallies: tuple[int, int]) -> None:
        self._tallies = {arm: Tally(*counts) for arm, counts in tallies.items()}

    def tally(self, key: str, /) -> Tally:
        return self._tallies.get(key, NOTHING)


def ones(*arms: str) -> dict[str, float]:
    return dict.fromkeys(arms, 1.0)


STRATEGIES: tuple[RankingStrategy, ...] = (Thompson(draws=20), EpsilonGreedy())
ARMS = st.dictionaries(
    st.text("abcxyz", min_size=1, max_size=3),
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1) | st.just(1.0)),
    max_size=6,
)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["thompson", "epsilon"])
@given(ARMS, st.text(max_size=3), st.randoms())
@settings(max_examples=60)
def test_probabilities_sum_to_1_and_order_means_nothing(
    strategy: Strategy, arms: dict[str, tuple[int, int, float]], salt: str, shuffler: object
) -> None:
    log = Log(**{arm: (n, x) for arm, (n, x, _) in arms.items()})
    order = list(arms)
    getattr(shuffler, "shuffle")(order)  # noqa: B009 - Hypothesis's random, which has no type here
    found = strategy.weigh({arm: arms[arm][2] for arm in arms}, log, salt)
    again = strategy.weigh({arm: arms[arm][2] for arm in order}, log, salt)
    assert found == again
    assert list(again.probabilities) == sorted(arms)
    assert math.fsum(found.probabilities.values()) == pytest.approx(1 if arms else 0, abs=1e-12)
    assert all(0 <= each <= 1 for each in [*found.probabilities.values(), *found.scores.values()])
    for sampler in (Highest(), Drawn()):
        assert sampler.pick(found, salt) == sampler.pick(again, salt)
        assert (sampler.pick(found, salt) in arms) is bool(arms)


def test_an_arm_is_drawn_the_same_whoever_stands_beside_it() -> None:
    log = Log(a=(10, 1), b=(10, 2))
    alone, beside = (Thompson().weigh(ones(*arms), log, "s").scores["a"] for arms in ("a", "ab"))
    assert alone == beside
    assert alone != Thompson().weigh(ones("a"), log, "t").scores["a"]


def test_thompson_scores_are_draws_from_the_posterior() -> None:
    """Beta(1 + 30, 1 + 70): mean 31/102, within five standard errors of 4,000 draws."""
    draws = [Thompson().score("a", Tally(100, 30), str(i)) for i in range(4_000)]
    mean = 31 / 102
    error = math.sqrt(mean * (1 - mean) / 103 / len(draws))
    assert abs(sum(draws) / len(draws) - mean) < 5 * error


def test_thompson_estimates_how_often_it_really_picks() -> None:
    """A is Beta(1, 1), b is Beta(2, 1): b is above a with probability 2/3 exactly."""
    log, strategy = Log(b=(1, 1)), Thompson(draws=1_000)
    picks = [Highest().pick(strategy.weigh(ones("a", "b"), log, str(i)), str(i)) for i in range(2_000)]
    assert picks.count("b") / len(picks) == pytest.approx(2 / 3, abs=5 * math.sqrt(2 / 9 / len(picks)))
    found = strategy.weigh(ones("a", "b"), log, "s")
    assert found.probabilities["b"] == pytest.approx(2 / 3, abs=5 * math.sqrt(2 / 9 / 1_000))
    assert found.draws == 1_000


def test_thompson_with_factors_is_about_the_final_score() -> None:
    """A uniform times 0.5 is above another uniform with probability 1/4."""
    found = Thompson(draws=1_000).weigh({"a": 0.5, "b": 1.0}, Log(), "s")
    assert found.probabilities["a"] == pytest.approx(1 / 4, abs=5 * math.sqrt(3 / 16 / 1_000))
    assert found.utilities["a"] == 0.5 * found.scores["a"]


def test_thompson_gives_no_arm_probability_0() -> None:
    found = Thompson(draws=10).weigh(ones("a", "b"), Log(a=(10**6, 0), b=(10**6, 10**6)), "s")
    assert found.probabilities == pytest.approx({"a": 0.5 / 11, "b": 10.5 / 11})


def test_the_prior_is_configurable() -> None:
    sure = Thompson(alpha=500_000, beta=500_000).score("a", NOTHING, "s")
    assert sure == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("impressions", "epsilon"), [(0, 1.0), (100, 0.5), (900, 0.1), (1_899, 0.050025), (10_000, 0.05)]
)
def test_epsilon_decays_to_its_minimum(impressions: int, epsilon: float) -> None:
    assert EpsilonGreedy(start=1.0, min=0.05, decay=0.01).epsilon(impressions) == pytest.approx(epsilon)


#: Evidence of a, b and c; the best one's excess is 1 − epsilon.
@pytest.mark.parametrize(
    ("log", "factors", "best"),
    [
        (Log(a=(10, 1), b=(10, 2), c=(10, 1)), ones("a", "b", "c"), "b"),
        (Log(a=(10, 1), b=(10, 2), c=(20, 4)), ones("a", "b", "c"), "b"),  # ties by arm id
        (Log(), ones("c", "b", "a"), "a"),
        (Log(a=(10, 1), b=(10, 2)), {"a": 1.0, "b": 0.4, "c": 1.0}, "a"),  # the final score counts
        (Log(a=(10, 1), b=(10, 2)), {"a": 1.0, "b": math.nan, "c": 1.0}, "a"),
    ],
)
def test_epsilon_greedy_is_exact(log: Log, factors: dict[str, float], best: str) -> None:
    found = EpsilonGreedy(start=0.3, min=0.3).weigh(factors, log, "s")
    expected = dict.fromkeys("abc", 0.1) | {best: 0.8}
    assert found.probabilities == pytest.approx(expected)
    assert found.draws is None


def test_picks_follow_the_selection_probabilities() -> None:
    found = EpsilonGreedy(start=0.3, min=0.3).weigh(ones("a", "b", "c"), Log(b=(10, 5)), "s")
    picks = Counter(Drawn().pick(found, str(i)) for i in range(5_000))
    for arm, probability in found.probabilities.items():
        error = math.sqrt(probability * (1 - probability) / 5_000)
        assert picks[arm] / 5_000 == pytest.approx(probability, abs=5 * error)


def test_an_arm_of_probability_0_is_never_drawn() -> None:
    weights = Weights({}, {}, {"a": 0.0, "b": 1.0 - 1e-16, "c": 0.0})
    assert {Drawn().pick(weights, str(i)) for i in range(200)} == {"b"}


def test_without_arms_nothing_is_picked() -> None:
    for strategy in STRATEGIES:
        found = strategy.weigh({}, Log(), "s")
        assert Highest().pick(found, "s") is None
        assert Drawn().pick(found, "s") is None


def test_equal_utilities_are_settled_by_id_in_any_order() -> None:
    for order in ("ab", "ba"):
        assert Highest().pick(Weights({}, dict.fromkeys(order, 0.5), {}), "s") == "a"


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["thompson", "epsilon"])
@given(ARMS, st.data())
@settings(max_examples=60)
def test_a_field_weighs_those_left_as_if_the_others_had_never_stood(
    strategy: RankingStrategy, arms: dict[str, tuple[int, int, float]], data: st.DataObject
) -> None:
    log = Log(**{arm: (n, x) for arm, (n, x, _) in arms.items()})
    left = {arm: factor for arm, (_, _, factor) in arms.items()}
    field = strategy.field(left, log, strategy.weigh(left, log, "s").scores)
    while left:
        assert field.weights() == strategy.weigh(left, log, "s")
        gone = data.draw(st.sets(st.sampled_from(sorted(left)), min_size=1), label="gone")
        field.drop(gone)
        left = {arm: factor for arm, factor in left.items() if arm not in gone}
    assert field.weights() == strategy.weigh({}, log, "s")
