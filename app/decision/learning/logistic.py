"""Logistic regression that learns from every impression and every positive.

Rules of this module:

1.  It learns by FTRL-Proximal, with a learning rate for each coordinate. McMahan and others, "Ad click
    prediction: a view from the trenches", KDD 2013, algorithm 1.
2.  A number is one coordinate, (value − center) / scale; true and false are 1 and 0. A text is one of
    `buckets` coordinates of its field, by a stable hash: one-hot. Anything else is absent.
3.  A positive comes long after its impression, so every impression is first learned as a negative and a
    positive comes on top, without taking the negative back. That teaches b = p / (1 + p), so p = b / (1 −
    b). Ktena and others, "Addressing delayed feedback for continuous training with neural networks in CTR
    prediction", RecSys 2019 (fake negative calibration). `delayedPositives: false` is for examples whose
    label is known when they are learned.
4.  A state is a value. Partitions learn from their own customers and are merged by weighted averages of the
    weights: iterative parameter mixing, McDonald, Hall and Mann, "Distributed training strategies for the
    structured perceptron", NAACL 2010. A coordinate's average is weighted by what each partition has
    learned about it, so that one that a partition never met is not pulled to 0.
5.  A state without examples predicts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from app.decision.entities import Part
from app.decision.ids import stable_hash
from app.decision.learning.features import FeatureRow, number
from app.decision.learning.scorecard import logistic

#: The coordinate that every row has.
BIAS = ""
#: Past this a number is cut: one wild value must not undo what was learned.
VALUE_MAX = 1e6

Rate = Annotated[float, Meta(gt=0, le=1_000)]
Penalty = Annotated[float, Meta(ge=0, le=1_000)]


class Scale(Part, frozen=True, kw_only=True):
    """How a number is brought near 0: (value − center) / scale."""

    center: Annotated[float, Meta(ge=-1e12, le=1e12)] = 0.0
    scale: Annotated[float, Meta(gt=0, le=1e12)] = 1.0


class LogisticConfig(Part, frozen=True, kw_only=True):
    """A logistic model's config: the α, β, λ1 and λ2 of FTRL-Proximal, and how fields become coordinates."""

    alpha: Rate = 0.1
    beta: Rate = 1.0
    l1: Penalty = 0.0
    l2: Penalty = 1.0
    buckets: Annotated[int, Meta(ge=2, le=65_536)] = 256
    scales: dict[str, Scale] = msgspec.field(default_factory=dict)
    delayed_positives: bool = True


class Coordinate(msgspec.Struct, frozen=True, array_like=True):
    """What was learned about one coordinate: FTRL's z, and n, the sum of squared gradients."""

    z: float = 0.0
    n: float = 0.0


class LogisticState(msgspec.Struct, frozen=True, array_like=True):
    """All that was learned: weighted examples, and the coordinates by name."""

    examples: float = 0.0
    coordinates: dict[str, Coordinate] = {}


class Example(msgspec.Struct, frozen=True):
    """A row, whether it is a positive, and how much it counts (> 0)."""

    row: FeatureRow
    label: bool
    weight: float = 1.0


EMPTY = LogisticState()
_UNKNOWN = Coordinate()


class Logistic:
    """The regression over some fields; knows how to learn, predict and merge, and holds no state."""

    def __init__(self, config: LogisticConfig, fields: Sequence[str]) -> None:
        self.config = config
        self.fields = tuple(fields)
        self._scales = [config.scales.get(field, Scale()) for field in fields]

    def update(
        self, state: LogisticState, row: FeatureRow, label: bool, weight: float = 1.0
    ) -> LogisticState:
        """The state after one more example."""
        return self.learn(state, [Example(row, label, weight)])

    def learn(self, state: LogisticState, examples: Iterable[Example]) -> LogisticState:
        """The state after these examples, in this order; the given state stays as it is."""
        coordinates, count = dict(state.coordinates), state.examples
        for example in examples:
            if not 0.0 < example.weight < math.inf:
                continue
            found = list(self._coordinates(example.row))
            b = logistic(sum(x * self._weight(coordinates.get(name, _UNKNOWN)) for name, x in found))
            gradient = (b - example.label) * example.weight
            for name, x in found:
                coordinates[name] = self._step(coordinates.get(name, _UNKNOWN), gradient * x)
            count += example.weight
        return LogisticState(count, coordinates)

    def predict(self, state: LogisticState, row: FeatureRow) -> float | None:
        """The row's propensity in 0–1; None while nothing was learned."""
        return self.predict_by(self.weights(state), row) if state.examples > 0.0 else None

    def weights(self, state: LogisticState) -> dict[str, float]:
        """The weight of every coordinate, by name; the bias is the empty name."""
        return {name: self._weight(coordinate) for name, coordinate in state.coordinates.items()}

    def predict_by(self, weights: Mapping[str, float], row: FeatureRow) -> float:
        """The row's propensity in 0–1 by weights that were computed once for many rows."""
        log_odds = sum(x * weights.get(name, 0.0) for name, x in self._coordinates(row))
        # With delayed positives b / (1 − b) is e to the log odds of b.
        return math.exp(min(log_odds, 0.0)) if self.config.delayed_positives else logistic(log_odds)

    def merge(self, states: Sequence[LogisticState], base: LogisticState = EMPTY) -> LogisticState:
        """One state that has learned what all of these have; their order changes nothing.

        Args:
            states: Of the partitions, each learned from its own examples.
            base: The merged state from which all of them went on; empty when they began with nothing.
        """
        names = {name for state in states for name in state.coordinates} | base.coordinates.keys()
        examples = base.examples + math.fsum(state.examples - base.examples for state in states)
        merged = {name: self._merged(name, states, base) for name in sorted(names)}
        return LogisticState(examples, merged)

    def _merged(self, name: str, states: Sequence[LogisticState], base: LogisticState) -> Coordinate:
        before = base.coordinates.get(name, _UNKNOWN)
        found = [state.coordinates.get(name, _UNKNOWN) for state in states]
        learned = [max(0.0, each.n - before.n) for each in found]
        total = math.fsum(learned)
        if total == 0.0:
            return before
        n = before.n + total
        shares = zip(learned, found, strict=True)
        weight = math.fsum(share * self._weight(each) for share, each in shares) / total
        return Coordinate(self._z_of(weight, n), n)

    def _coordinates(self, row: FeatureRow) -> Iterator[tuple[str, float]]:
        yield BIAS, 1.0
        for field, scale in zip(self.fields, self._scales, strict=True):
            value = row(field)
            if isinstance(value, str):
                yield f"{field}#{stable_hash(field, value) % self.config.buckets}", 1.0
            elif isinstance(value, bool):
                yield field, float(value)
            elif (found := number(value)) is not None:
                scaled = (found - scale.center) / scale.scale
                yield field, max(-VALUE_MAX, min(VALUE_MAX, scaled))

    def _step(self, known: Coordinate, gradient: float) -> Coordinate:
        """Algorithm 1's update of one coordinate."""
        n = known.n + gradient * gradient
        sigma = (math.sqrt(n) - math.sqrt(known.n)) / self.config.alpha
        return Coordinate(known.z + gradient - sigma * self._weight(known), n)

    def _weight(self, known: Coordinate) -> float:
        """Algorithm 1's weight of one coordinate: 0 while |z| is not above λ1."""
        if abs(known.z) <= self.config.l1:
            return 0.0
        return -(known.z - math.copysign(self.config.l1, known.z)) / self._divisor(known.n)

    def _z_of(self, weight: float, n: float) -> float:
        """The z that gives this weight."""
        return 0.0 if weight == 0.0 else -weight * self._divisor(n) - math.copysign(self.config.l1, weight)

    def _divisor(self, n: float) -> float:
        return (self.config.beta + math.sqrt(n)) / self.config.alpha + self.config.l2
