"""Thompson sampling: an arm is scored by a draw from what its propensity may be.

Rules of this module:

1.  The score is a draw from Beta(alpha + positives, beta + n − positives), keyed by arm and salt; the prior
    is Beta(1, 1) unless told otherwise. Thompson, "On the likelihood that one unknown probability exceeds
    another", Biometrika 25, 1933; Chapelle and Li, "An empirical evaluation of Thompson sampling", 2011.
2.  The selection probability is estimated: n further draws of every arm, and how often the arm stands
    highest. These draws are keyed by arm alone, so the estimate is one of the arms and their evidence, not
    of the request, and a busy worker draws an arm anew only when its evidence has changed.
3.  One pseudo-win is shared by all arms, (wins + 1/arms) / (n + 1): whoever weighs what was shown by 1/p
    must never divide by 0. The standard error is at most 0.5 / √n.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.learning.chance import Chance
from app.decision.learning.evidence import Rewards, Tally
from app.decision.learning.strategies import Weights, sorted_factors

#: Arms whose draws are remembered: at most 8 kB each.
REMEMBERED = 4_096
Prior = Annotated[float, Meta(ge=0.01, le=1_000_000)]


class Thompson(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The strategy, and its settings as a model's `config` says them."""

    alpha: Prior = 1.0
    beta: Prior = 1.0
    draws: Annotated[int, Meta(ge=1, le=1_000)] = 100

    def score(self, arm: str, tally: Tally, salt: str) -> float:
        """A draw from the arm's posterior, in 0–1."""
        return Chance("score", salt, arm).beta(*self._posterior(tally))

    def weigh(self, factors: Mapping[str, float], rewards: Rewards, salt: str, /) -> Weights:
        """Drawn scores, and selection probabilities estimated from `draws` draws; see `Strategy`."""
        arms = sorted_factors(factors)
        tallies = {arm: rewards.tally(arm) for arm in arms}
        scores = {arm: self.score(arm, tallies[arm], salt) for arm in arms}
        return Weights(
            scores,
            {arm: factor * scores[arm] for arm, factor in arms.items()},
            self._probabilities(arms, tallies),
            self.draws,
        )

    def _posterior(self, tally: Tally) -> tuple[float, float]:
        positives = max(tally.positives, 0)
        return self.alpha + positives, self.beta + tally.trials - positives

    def _probabilities(self, arms: Mapping[str, float], tallies: Mapping[str, Tally]) -> dict[str, float]:
        if not arms:
            return {}
        drawn = [
            _times(factor, _draws(arm, *self._posterior(tallies[arm]), self.draws))
            for arm, factor in arms.items()
        ]
        wins = [0] * len(drawn)
        for values in zip(*drawn, strict=True):
            wins[values.index(max(values))] += 1
        share = 1.0 / len(drawn)
        return {arm: (won + share) / (self.draws + 1) for arm, won in zip(arms, wins, strict=True)}


@lru_cache(maxsize=REMEMBERED)
def _draws(arm: str, alpha: float, beta: float, count: int) -> Sequence[float]:
    chance = Chance("selection", arm)
    return array("d", [chance.beta(alpha, beta) for _ in range(count)])


def _times(factor: float, values: Sequence[float]) -> Sequence[float]:
    return values if factor == 1.0 else [factor * value for value in values]
