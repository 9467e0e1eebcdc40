"""Epsilon-greedy: the best arm so far, and now and then any arm.

Rules of this module:

1.  With probability epsilon an arm uniformly at random, else the best: the highest factor × positive rate,
    ties by arm id. An arm without evidence has rate 0 and waits for its turn by chance.
2.  Epsilon decays with the impressions of all arms together: max(min, start / (1 + decay × impressions)).
    Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem", 2002, has the
    same decay, which goes with 1/t.
3.  Selection probabilities are exact: epsilon / arms for each, and 1 − epsilon more for the best. So the
    arm is picked by them (`Drawn`); ranked by scores alone, nothing would ever be explored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.learning.evidence import Rewards, Tally
from app.decision.learning.strategies import Field, Weights, highest, sorted_factors

Share = Annotated[float, Meta(ge=0, le=1)]


class EpsilonGreedy(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The strategy, and its settings as a model's `config` says them."""

    start: Share = 1.0
    min: Share = 0.05
    decay: Annotated[float, Meta(ge=0, le=1_000)] = 0.01

    def score(self, arm: str, tally: Tally, salt: str) -> float:
        """The arm's positive rate, in 0–1; chance has no part in it."""
        return tally.rate

    def epsilon(self, impressions: int) -> float:
        """How often an arm is picked at random after so many impressions of all arms, in 0–1."""
        return max(self.min, self.start / (1.0 + self.decay * impressions))

    def weigh(self, factors: Mapping[str, float], rewards: Rewards, salt: str, /) -> Weights:
        """Positive rates and exact selection probabilities; the salt changes nothing. See `Strategy`."""
        scores = {arm: rewards.tally(arm).rate for arm in factors}
        return self.field(factors, rewards, scores).weights()

    def field(self, factors: Mapping[str, float], rewards: Rewards, scores: Mapping[str, float], /) -> Field:
        """See `RankingStrategy`."""
        return _Standing(self, factors, rewards, scores)


class _Standing:
    """The arms of one decision."""

    def __init__(
        self, by: EpsilonGreedy, factors: Mapping[str, float], rewards: Rewards, scores: Mapping[str, float]
    ) -> None:
        arms = sorted_factors(factors)
        self._by = by
        self._scores = {arm: scores[arm] for arm in arms}
        self._utilities = {arm: factor * scores[arm] for arm, factor in arms.items()}
        self._trials = {arm: rewards.tally(arm).trials for arm in arms}

    def drop(self, arms: Collection[str], /) -> None:
        for arm in arms:
            del self._scores[arm], self._utilities[arm], self._trials[arm]

    def weights(self) -> Weights:
        epsilon = self._by.epsilon(sum(self._trials.values()))
        probabilities = dict.fromkeys(self._scores, epsilon / max(len(self._scores), 1))
        best = highest(self._utilities)
        if best is not None:
            probabilities[best] += 1.0 - epsilon
        return Weights(dict(self._scores), dict(self._utilities), probabilities)
