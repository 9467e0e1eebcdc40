"""What a strategy would have earned, told from a log that another policy wrote.

Rules of this module:

1.  Replay: of each logged row the strategy picks an arm; where it is the one that was shown, the row
    counts, and the strategy learns from it. Rows that do not match say nothing and teach nothing. For a log
    whose policy chose uniformly this is unbiased: Li, Chu, Langford and Wang, "Unbiased offline evaluation
    of contextual-bandit-based news article recommendation algorithms", WSDM 2011.
2.  Weighted: every row counts with weight selection probability / logged probability: inverse propensity
    scoring (Horvitz and Thompson, JASA 1952), divided by the weights' sum (self-normalised: Swaminathan and
    Joachims, "The self-normalized estimator for counterfactual learning", NIPS 2015). It uses also rows
    that did not match.
3.  Its interval is the percentile bootstrap over rows, their weights averaged over the seeds first: seeds
    remove the strategy's own chance, never the log's. That rows depend on each other through what was
    learned is left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.decision.learning.evidence import NOTHING, Tally
from app.decision.learning.strategies import Sampler, Strategy


@dataclass(frozen=True)
class Row:
    """One logged impression: the arm shown, whether it was clicked, how probable it was to be shown."""

    arm: str
    clicked: bool
    probability: float


@dataclass
class Replayed:
    """One pass over a log: matched rows, their clicks, and every row's weight."""

    matched: int = 0
    clicks: int = 0
    weights: list[float] = field(default_factory=list)


class Learned:
    """Evidence that grows row by row."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def tally(self, key: str, /) -> Tally:
        """The evidence so far."""
        return self._tallies.get(key, NOTHING)

    def add(self, row: Row) -> None:
        """One more impression of the row's arm."""
        before = self.tally(row.arm)
        self._tallies[row.arm] = Tally(before.impressions + 1, before.positives + row.clicked)


def replay(
    rows: Sequence[Row], strategy: Strategy, sampler: Sampler, seed: int, learn_from_all: bool = False
) -> Replayed:
    """One pass of a strategy over a log.

    Args:
        rows: The log, in its order; its arms are those that may be picked.
        strategy: Weighs the arms anew for each row.
        sampler: Picks one.
        seed: Of the strategy's chance.
        learn_from_all: Learn from every row, as a strategy would that is trained beside a random policy.
    """
    factors = dict.fromkeys(sorted({row.arm for row in rows}), 1.0)
    learned, found = Learned(), Replayed()
    for number, row in enumerate(rows):
        salt = f"{seed}:{number}"
        weights = strategy.weigh(factors, learned, salt)
        found.weights.append(weights.probabilities[row.arm] / row.probability)
        match = sampler.pick(weights, salt) == row.arm
        if match:
            found.matched += 1
            found.clicks += row.clicked
        if match or learn_from_all:
            learned.add(row)
    return found


@dataclass(frozen=True)
class Weighted:
    """The self-normalised estimate of the rate, its 95 % bootstrap interval, and the rows it is worth."""

    rate: float
    low: float
    high: float
    effective_rows: float


def weighted(rows: Sequence[Row], weights: Sequence[float], resamples: int, seed: int) -> Weighted:
    """The weighted estimate.

    Args:
        rows: The log.
        weights: Of each row.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    chance = random.Random(seed)
    pairs = [(weight, weight * row.clicked) for weight, row in zip(weights, rows, strict=True)]
    rates = sorted(_ratio(chance.choices(pairs, k=len(pairs))) for _ in range(resamples))
    squares = sum(weight * weight for weight in weights)
    return Weighted(
        _ratio(pairs),
        rates[int(0.025 * resamples)],
        rates[min(resamples - 1, int(0.975 * resamples))],
        sum(weights) ** 2 / squares if squares else 0.0,
    )


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for weight, _ in pairs)
    return sum(earned for _, earned in pairs) / total if total else 0.0
