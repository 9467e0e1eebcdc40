"""Every aggregate: what it says of a few events, at its edges, and against brute force."""

from __future__ import annotations

import math
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.metrics import CompiledMetric, Figure
from app.decision.state import Window
from app.decision.windows import Counts
from tests.decision import building
from tests.decision.building import Aggregate
from tests.decision.metrics.building import (
    NOW_MS,
    WINDOW_MS,
    Happening,
    brute_force,
    figure_of,
    window_after,
)

AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)
FIELD = {aggregate: () if aggregate == "count" else ("v",) for aggregate in AGGREGATES}
VALUES = (
    st.integers(-5, 5)
    | st.floats(-1e6, 1e6)
    | st.sampled_from(["", "a", "1", "ü"])
    | st.booleans()
    | st.none()
    | st.just([1])
)


def metric(aggregate: Aggregate, window_ms: int | None = WINDOW_MS) -> CompiledMetric:
    return building.metric(aggregate, window_ms, FIELD[aggregate])


@pytest.mark.parametrize(
    ("aggregate", "values", "figure"),
    [
        ("count", [], 0.0),
        ("count", [1, "a", None], 3.0),
        ("sum", [], 0.0),
        ("sum", [1, 2.5, "3", True, None], 3.5),
        ("avg", [], None),
        ("avg", ["a", None, True], None),
        ("avg", [1, 2, 6, "x"], 3.0),
        ("avg", [1.5, 1.5], 1.5),
        ("min", [], None),
        ("min", [3, -2, 7, False, "-9"], -2.0),
        ("max", [], None),
        ("max", [-3, -2, -7, True, "9"], -2.0),
        ("last", [], None),
        ("last", [1, "gold"], "gold"),
        ("last", ["gold", True], True),
        ("last", ["gold", 7], 7),
        ("last", ["gold", None, [1], {"a": 1}], "gold"),
        ("last", ["gold", "x" * 1_025], "gold"),
        ("last", ["gold", 2**64, 1e300, math.nan], 2.0**64),
        ("distinct", [], 0.0),
        ("distinct", ["a", "b", "a"], 2.0),
        ("distinct", [1, 1.0, True, "1", "true", "True", False, 0, -0.0], 7.0),
        ("distinct", [None, [1], {"a": 1}, math.inf], 0.0),
        ("distinct", ["", "\ud800"], 2.0),
    ],
)
@pytest.mark.parametrize("window_ms", [None, WINDOW_MS])
def test_what_each_aggregate_says(
    aggregate: Aggregate, values: list[Any], figure: Figure, window_ms: int | None
) -> None:
    events = [(NOW_MS - len(values) + i, value) for i, value in enumerate(values)]
    found = figure_of(metric(aggregate, window_ms), events)
    assert (found, type(found)) == (figure, type(figure))


#: An event of value 8 of this age beside one of value 4 now: whether the first still counts.
EDGE = [(WINDOW_MS - 1, True), (WINDOW_MS, True), (WINDOW_MS + 1, False), (2 * WINDOW_MS, False)]


@pytest.mark.parametrize(("age_ms", "inside"), EDGE)
@pytest.mark.parametrize(
    ("aggregate", "both", "newer"),
    [("count", 2, 1), ("sum", 12, 4), ("avg", 6, 4), ("max", 8, 4), ("distinct", 2, 1)],
)
def test_a_bucket_leaves_as_a_whole_when_the_window_has_passed_it(
    aggregate: Aggregate, both: float, newer: float, age_ms: int, inside: bool
) -> None:
    assert NOW_MS % 1_000 == 0
    events = [(NOW_MS - age_ms, 8), (NOW_MS, 4)]
    assert figure_of(metric(aggregate), events) == (both if inside else newer)
    assert figure_of(metric(aggregate), events[::-1]) == (both if inside else newer)


def test_the_minimum_leaves_too() -> None:
    assert figure_of(metric("min"), [(NOW_MS - WINDOW_MS, 4), (NOW_MS, 8)]) == 4
    assert figure_of(metric("min"), [(NOW_MS - WINDOW_MS - 1, 4), (NOW_MS, 8)]) == 8


@pytest.mark.parametrize(("age_ms", "figure"), [(0, 8), (WINDOW_MS - 1, 8), (WINDOW_MS, None)])
def test_the_last_value_leaves_to_the_millisecond(age_ms: int, figure: Figure) -> None:
    assert figure_of(metric("last"), [(NOW_MS - age_ms, 8)]) == figure
    assert figure_of(metric("last", None), [(NOW_MS - age_ms, 8)]) == 8


def test_the_last_value_is_of_the_newest_event_and_of_the_later_in_fold_order_among_equals() -> None:
    events = [(NOW_MS - 5, "old"), (NOW_MS, "first"), (NOW_MS - 9, "late"), (NOW_MS, "second")]
    assert figure_of(metric("last"), events) == "second"


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_an_event_ahead_of_now_counts_at_once(aggregate: Aggregate) -> None:
    ahead = [(NOW_MS + 23 * 3_600_000, 8)]
    assert figure_of(metric(aggregate), ahead) == brute_force(aggregate, ahead)


@pytest.mark.parametrize("aggregate", ["count", "sum", "avg", "min", "max", "distinct"])
def test_what_comes_after_its_bucket_was_forgotten_does_not_count(aggregate: Aggregate) -> None:
    events = [(NOW_MS, 4), (NOW_MS - 61_000, 8)]
    window = window_after(metric(aggregate), events)
    assert window == window_after(metric(aggregate), events[:1])


@pytest.mark.parametrize("aggregate", AGGREGATES)
@given(
    ages=st.lists(st.tuples(st.integers(-2_000, 200_000), VALUES), max_size=60),
    window_ms=st.sampled_from([None, 1, 59, 60, 61, 1_000, 60_000, 61_234]),
    wait_ms=st.integers(0, 100_000),
)
def test_every_figure_agrees_with_brute_force_up_to_a_sixtieth_of_the_window(
    aggregate: Aggregate, ages: list[tuple[int, Any]], window_ms: int | None, wait_ms: int
) -> None:
    """Between what the exact window gives and what one up to a bucket's width longer gives."""
    events = sorted(((NOW_MS - age_ms, value) for age_ms, value in ages), key=lambda one: one[0])
    now_ms = max([NOW_MS, *(at_ms for at_ms, _ in events)]) + wait_ms
    found = figure_of(metric(aggregate, window_ms), events, now_ms)
    if window_ms is None or aggregate == "last":
        after_ms = -math.inf if window_ms is None else now_ms - window_ms
        assert found == approximately(brute_force(aggregate, events, after_ms))
        return
    longest_ms = now_ms - window_ms - -(-window_ms // 60)
    edges = {now_ms - window_ms, *(at_ms for at_ms, _ in events if longest_ms < at_ms <= now_ms - window_ms)}
    allowed = [brute_force(aggregate, events, edge - 1) for edge in edges]
    allowed.append(brute_force(aggregate, events, now_ms - window_ms))
    assert any(found == approximately(one) for one in allowed), (found, allowed)


@pytest.mark.parametrize("aggregate", ["count", "sum", "avg", "min", "max", "distinct"])
@given(
    data=st.data(),
    ages=st.lists(st.tuples(st.integers(0, WINDOW_MS), VALUES), max_size=40),
    window_ms=st.sampled_from([None, WINDOW_MS, 2 * WINDOW_MS]),
)
def test_the_order_of_arrival_does_not_matter_within_the_window(
    aggregate: Aggregate, data: st.DataObject, ages: list[tuple[int, Any]], window_ms: int | None
) -> None:
    events = [(NOW_MS - age_ms, value) for age_ms, value in ages]
    shuffled = data.draw(st.permutations(events))
    one = figure_of(metric(aggregate, window_ms), events)
    assert figure_of(metric(aggregate, window_ms), shuffled) == approximately(one)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@given(ages=st.lists(st.tuples(st.integers(-2_000, 200_000), VALUES), max_size=40))
def test_the_same_events_give_the_same_bytes_whether_or_not_stored_in_between(
    aggregate: Aggregate, ages: list[Happening]
) -> None:
    events = [(NOW_MS - age_ms, value) for age_ms, value in ages]
    window = window_after(metric(aggregate), events)
    assert stored(window) == stored(window_after(metric(aggregate), events))
    assert again(window) == window
    assert len(window.buckets if window else {}) <= 61
    if window is not None and isinstance(window.kept, Counts):
        assert window.kept.buckets.keys() == window.buckets.keys()


def stored(window: Window | None) -> bytes:
    return msgspec.msgpack.encode(window)


def again(window: Window | None) -> Window | None:
    return msgspec.msgpack.decode(stored(window), type=Window | None)


def approximately(figure: Figure) -> Any:
    return pytest.approx(figure, abs=1e-6) if type(figure) is float else figure
