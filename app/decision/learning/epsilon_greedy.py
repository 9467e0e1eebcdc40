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

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.learning.evidence import Rewards, Tally
from app.decision.learning.strategies import Weights, highest, sorted_factors

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
        arms = sorted_factors(factors)
        tallies = {arm: rewards.tally(arm) for arm in arms}
        scores = {arm: tally.rate for arm, tally in tallies.items()}
        utilities = {arm: factor * scores[arm] for arm, factor in arms.items()}
        epsilon = self.epsilon(sum(tally.trials for tally in tallies.values()))
        probabilities = {arm: epsilon / len(arms) for arm in arms}
        best = highest(utilities)
        if best is not None:
            probabilities[best] += 1.0 - epsilon
        return Weights(scores, utilities, probabilities)
