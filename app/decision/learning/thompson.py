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
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.learning.chance import Chance
from app.decision.learning.evidence import Rewards, Tally
from app.decision.learning.strategies import Field, Weights, sorted_factors

#: Arms whose draws are remembered, alone and times a factor: at most 8 kB for each of the two.
REMEMBERED = 4_096
#: In a round, an arm that dropped out: below every draw.
_GONE = -1.0
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
        scores = {arm: self.score(arm, rewards.tally(arm), salt) for arm in factors}
        return self.field(factors, rewards, scores).weights()

    def field(self, factors: Mapping[str, float], rewards: Rewards, scores: Mapping[str, float], /) -> Field:
        """See `RankingStrategy`."""
        arms = sorted_factors(factors)
        drawn = [
            _scaled(factor, arm, *self._posterior(rewards.tally(arm)), self.draws)
            for arm, factor in arms.items()
        ]
        return _Standing(arms, scores, drawn, self.draws)

    def _posterior(self, tally: Tally) -> tuple[float, float]:
        positives = max(tally.positives, 0)
        return self.alpha + positives, self.beta + tally.trials - positives


class _Standing:
    """The arms of one decision.

    Invariant: `_winners` are the arms that stand highest in some rounds, with those rounds. A round is one
    draw of every arm, by place in `_places`; ties go to the first, the smallest id.
    """

    def __init__(
        self,
        factors: Mapping[str, float],
        scores: Mapping[str, float],
        drawn: Sequence[Sequence[float]],
        draws: int,
    ) -> None:
        self._scores = {arm: scores[arm] for arm in factors}
        self._utilities = {arm: factor * scores[arm] for arm, factor in factors.items()}
        self._draws = draws
        self._places = {arm: place for place, arm in enumerate(factors)}
        self._rounds = [list(values) for values in zip(*drawn, strict=True)]
        self._winners: dict[int, list[list[float]]] = {}
        self._settle(self._rounds)

    def drop(self, arms: Collection[str], /) -> None:
        lost: list[list[float]] = []
        for arm in arms:
            del self._scores[arm], self._utilities[arm]
            place = self._places.pop(arm)
            for values in self._rounds:
                values[place] = _GONE
            lost += self._winners.pop(place, [])
        self._settle(lost)

    def weights(self) -> Weights:
        probabilities = {}
        if self._places:
            total = self._draws + 1
            probabilities = dict.fromkeys(self._places, 1.0 / len(self._places) / total)
            for arm, place in self._places.items():
                if place in self._winners:
                    won = len(self._winners[place]) + 1.0 / len(self._places)
                    probabilities[arm] = won / total
        return Weights(dict(self._scores), dict(self._utilities), probabilities, self._draws)

    def _settle(self, rounds: Sequence[list[float]]) -> None:
        for values in rounds:
            self._winners.setdefault(values.index(max(values)), []).append(values)


@lru_cache(maxsize=REMEMBERED)
def _draws(arm: str, alpha: float, beta: float, count: int) -> Sequence[float]:
    chance = Chance("selection", arm)
    return array("d", [chance.beta(alpha, beta) for _ in range(count)])


@lru_cache(maxsize=REMEMBERED)
def _scaled(factor: float, arm: str, alpha: float, beta: float, count: int) -> Sequence[float]:
    values = _draws(arm, alpha, beta, count)
    return values if factor == 1.0 else array("d", [factor * value for value in values])
