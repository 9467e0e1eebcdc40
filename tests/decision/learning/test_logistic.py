"""Online logistic regression: recovers what made the data, calibrates delays, merges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.learning.chance import Chance
from app.decision.learning.logistic import (
    BIAS,
    EMPTY,
    Example,
    Logistic,
    LogisticConfig,
    LogisticState,
    Scale,
)
from app.decision.learning.scorecard import logistic
from tests.decision.documents import ANY_JSON

FIELDS = ("customer.x", "customer.member", "customer.city")
#: Bias, the number's weight, true's weight, and by city.
TRUTH: tuple[float, float, float, dict[str, float]] = (-1.0, 1.5, -0.8, {"Oslo": 0.7, "Rome": -0.7})
BLANK: dict[str, object] = {}
IMMEDIATE = LogisticConfig(alpha=0.3, l2=0.0, delayed_positives=False)


def examples(count: int, salt: str = "data") -> Iterator[tuple[dict[str, Any], bool]]:
    chance = Chance(salt)
    bias, slope, member, cities = TRUTH
    for _ in range(count):
        row: dict[str, Any] = {
            "customer.x": chance.normal(),
            "customer.member": chance.uniform() < 0.5,
            "customer.city": "Oslo" if chance.uniform() < 0.5 else "Rome",
        }
        x, is_member, city = row.values()
        odds = bias + slope * x + member * is_member + cities[city]
        yield row, chance.uniform() < logistic(odds)


def learned(regression: Logistic, rows: list[tuple[dict[str, Any], bool]]) -> LogisticState:
    return regression.learn(EMPTY, [Example(row.get, label) for row, label in rows])


def city_effect(regression: Logistic, state: LogisticState) -> float:
    """How much more Oslo's log odds are than Rome's."""
    oslo, rome = (regression.predict(state, {"customer.city": city}.get) for city in ("Oslo", "Rome"))
    assert oslo is not None
    assert rome is not None
    return math.log(oslo / (1 - oslo)) - math.log(rome / (1 - rome))


def test_known_weights_are_recovered() -> None:
    regression = Logistic(IMMEDIATE, FIELDS)
    state = learned(regression, list(examples(30_000)))
    weights = regression.weights(state)
    assert weights["customer.x"] == pytest.approx(1.5, abs=0.15)
    assert weights["customer.member"] == pytest.approx(-0.8, abs=0.15)
    assert city_effect(regression, state) == pytest.approx(1.4, abs=0.15)
    assert state.examples == 30_000


def test_delayed_positives_give_the_calibrated_rate() -> None:
    """Every impression is a negative first; a positive comes on top, much later."""
    regression = Logistic(LogisticConfig(alpha=0.3), ("customer.x",))
    chance = Chance("delay")
    waiting: list[Example | None] = []
    stream: list[Example] = []
    for _ in range(20_000):
        x = float(chance.uniform() < 0.5)
        stream.append(Example({"customer.x": x}.get, False))
        waiting.append(
            Example({"customer.x": x}.get, True) if chance.uniform() < (0.3 if x else 0.1) else None
        )
        if len(waiting) > 500 and (positive := waiting.pop(0)) is not None:
            stream.append(positive)
    state = regression.learn(EMPTY, stream)
    for x, p in ((0.0, 0.1), (1.0, 0.3)):
        assert regression.predict(state, {"customer.x": x}.get) == pytest.approx(p, abs=0.03)


def test_merged_partitions_come_close_to_one_learner() -> None:
    regression = Logistic(IMMEDIATE, FIELDS)
    rows = list(examples(20_000))
    alone = learned(regression, rows)
    parts = [learned(regression, rows[i::4]) for i in range(4)]
    merged = regression.merge(parts)
    assert merged.examples == alone.examples
    for name, weight in regression.weights(alone).items():
        assert regression.weights(merged)[name] == pytest.approx(weight, abs=0.1)
    for order in itertools.permutations(parts):
        assert regression.merge(order) == merged


def test_merging_again_and_again_does_not_count_the_base_twice() -> None:
    """Iterative parameter mixing: every round, two partitions go on from what was merged before."""
    regression = Logistic(IMMEDIATE, FIELDS)
    rows, state = list(examples(20_000)), EMPTY
    for begin in range(0, len(rows), 2_000):
        now = rows[begin : begin + 2_000]
        halves = [
            regression.learn(state, [Example(row.get, label) for row, label in now[i::2]]) for i in (0, 1)
        ]
        state = regression.merge(halves, state)
    alone = learned(regression, rows)
    assert state.examples == 20_000
    assert state.coordinates[BIAS].n == pytest.approx(alone.coordinates[BIAS].n, rel=0.1)
    for name, weight in regression.weights(alone).items():
        assert regression.weights(state)[name] == pytest.approx(weight, abs=0.15)


def test_a_coordinate_that_one_partition_alone_knows_keeps_its_weight() -> None:
    regression = Logistic(IMMEDIATE, ("customer.city",))
    oslo = learned(regression, [({"customer.city": "Oslo"}, True)] * 200)
    rome = learned(regression, [({"customer.city": "Rome"}, False)] * 200)
    (name,) = oslo.coordinates.keys() - {BIAS}
    merged = regression.merge([oslo, rome])
    assert regression.weights(merged)[name] == pytest.approx(regression.weights(oslo)[name])


def test_merging_one_state_changes_only_rounding() -> None:
    regression = Logistic(LogisticConfig(alpha=0.3, l1=0.5), FIELDS)
    state = learned(regression, list(examples(500)))
    before, after = regression.weights(state), regression.weights(regression.merge([state]))
    assert after == pytest.approx(before)
    assert 0.0 in before.values() or all(before.values())


def test_l1_keeps_what_says_nothing_at_0() -> None:
    chance = Chance("noise")
    rows = [({"customer.noise": chance.normal()}, chance.uniform() < 0.5) for _ in range(2_000)]
    strict = Logistic(LogisticConfig(l1=1_000, delayed_positives=False), ("customer.noise",))
    assert strict.weights(learned(strict, rows))["customer.noise"] == 0.0


def test_a_weighted_example_counts_as_often() -> None:
    regression = Logistic(IMMEDIATE, ())
    heavy = regression.update(EMPTY, BLANK.get, True, 3.0)
    assert heavy.examples == 3.0
    assert regression.update(EMPTY, BLANK.get, True, math.nan) == EMPTY
    assert regression.update(EMPTY, BLANK.get, True, 0.0) == EMPTY


def test_nothing_learned_predicts_nothing() -> None:
    assert Logistic(IMMEDIATE, FIELDS).predict(EMPTY, BLANK.get) is None


def test_a_scaled_number_learns_as_its_small_form_does() -> None:
    scaled = Logistic(
        LogisticConfig(scales={"customer.x": Scale(center=50_000, scale=20_000)}, delayed_positives=False),
        ("customer.x",),
    )
    plain = Logistic(LogisticConfig(delayed_positives=False), ("customer.x",))
    rows = [(row["customer.x"], label) for row, label in examples(300)]
    first = learned(scaled, [({"customer.x": 50_000 + 20_000 * x}, label) for x, label in rows])
    second = learned(plain, [({"customer.x": x}, label) for x, label in rows])
    assert scaled.weights(first) == pytest.approx(plain.weights(second))


def test_a_state_survives_its_codec() -> None:
    state = learned(Logistic(IMMEDIATE, FIELDS), list(examples(50)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=LogisticState) == state


@given(st.lists(st.tuples(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON), st.booleans()), max_size=8))
@settings(max_examples=60)
def test_any_values_are_learned_and_scored(rows: list[tuple[dict[str, Any], bool]]) -> None:
    for delayed in (True, False):
        regression = Logistic(LogisticConfig(delayed_positives=delayed), FIELDS)
        before = learned(regression, rows[:4])
        kept = msgspec.msgpack.encode(before)
        state = regression.learn(before, [Example(row.get, label) for row, label in rows])
        assert msgspec.msgpack.encode(before) == kept
        for row, _ in rows:
            found = regression.predict(state, row.get)
            assert found is not None
            assert 0 <= found <= 1
