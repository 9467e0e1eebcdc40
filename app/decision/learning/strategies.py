"""The seams of a strategy: evidence in, a choice with its probability out.

Rules of this module:

1.  `Rewards` gives evidence, `Strategy` weighs arms by it, `Sampler` picks one. Each has one method, so any
    of the three can be replaced.
2.  An arm is weighed with a factor, the part of its final score that is not propensity: fit for the scoring
    method `propensity`, (R^wr · I^wi · E^we)^(1/wp) for `formula`, 1 when propensity is all. What counts is
    factor × score, so that selection probabilities are those of the final ranking.
3.  The order of the arms changes nothing: draws are keyed by arm and salt, ties go to the smaller arm id.
4.  Selection probabilities are about the first rank among exactly these arms, and sum to 1.
5.  A decision of several ranks scores and draws its arms once (`RankingStrategy`): a `Field` holds them, and
    taken arms drop out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from app.decision.learning.chance import Chance
from app.decision.learning.evidence import Rewards


class Weights(msgspec.Struct, frozen=True):
    """What a strategy makes of some arms, by arm id in ascending order.

    `scores` are propensities, `utilities` the scores times the factors. `draws` is how many draws the
    probabilities were estimated from, None when they are exact.
    """

    scores: dict[str, float]
    utilities: dict[str, float]
    probabilities: dict[str, float]
    draws: int | None = None


class Field(Protocol):
    """Arms that stand in one decision, weighed anew for each rank as some drop out."""

    def drop(self, arms: Collection[str], /) -> None:
        """Take out arms that stand."""

    def weights(self) -> Weights:
        """The weights of the arms that still stand, as `Strategy.weigh` would have them."""
        ...


class Strategy(Protocol):
    """How arms are weighed by what they have shown."""

    def weigh(self, factors: Mapping[str, float], rewards: Rewards, salt: str, /) -> Weights:
        """Scores and selection probabilities of these arms.

        Args:
            factors: Every arm that may be picked, with its factor; one that is no number ≥ 0 counts as 0.
            rewards: The evidence for each arm id.
            salt: Chance; the same salt gives the same weights.
        """
        ...


class RankingStrategy(Strategy, Protocol):
    """A strategy for decisions of several ranks."""

    def field(self, factors: Mapping[str, float], rewards: Rewards, scores: Mapping[str, float], /) -> Field:
        """The arms of one decision, to be weighed for several ranks.

        Args:
            factors: See `weigh`.
            rewards: The evidence for each arm id.
            scores: The strategy's score of every arm, drawn already.
        """
        ...


class Sampler(Protocol):
    """How one arm is picked from weighed ones."""

    def pick(self, weights: Weights, salt: str, /) -> str | None:
        """The picked arm's id; None when there is no arm."""
        ...


class Highest:
    """Picks the highest utility: chance is in the scores already, as in Thompson sampling."""

    def pick(self, weights: Weights, salt: str, /) -> str | None:
        """The arm of the highest utility, ties by arm id."""
        return highest(weights.utilities)


class Drawn:
    """Picks each arm with its selection probability."""

    def pick(self, weights: Weights, salt: str, /) -> str | None:
        """An arm drawn by the probabilities, from one uniform of the salt."""
        left = Chance("pick", salt).uniform()
        picked = None
        for arm, probability in weights.probabilities.items():
            if probability > 0.0:
                picked = arm
                left -= probability
                if left < 0.0:
                    break
        return picked


def highest(values: Mapping[str, float]) -> str | None:
    """The arm of the highest value, the smallest id among equals; None of none."""
    return min(values, key=lambda arm: (-values[arm], arm), default=None)


def sorted_factors(factors: Mapping[str, float]) -> dict[str, float]:
    """The factors by ascending arm id, each a finite number of at least 0."""
    return {arm: factor if 0.0 < (factor := factors[arm]) < math.inf else 0.0 for arm in sorted(factors)}
