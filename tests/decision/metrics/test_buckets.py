"""The buckets of a count and a sum: edges, disorder, and amounts that are none."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.entities import BehaviouralMetric
from app.decision.metrics import compile_metric, field_value, observe, read
from app.decision.state import Window
from tests.decision.building import metric
from tests.decision.metrics.building import as_number

NOW_MS = 1_800_000_000_000
WINDOW_MS = 60_000


def observed(*ages_ms: int, window_ms: int | None = WINDOW_MS, value: float = 1.0) -> dict[str, Window]:
    """The windows after events of these ages, in this order."""
    windows: dict[str, Window] = {}
    for age_ms in ages_ms:
        observe(windows, metric(window_ms=window_ms), NOW_MS - age_ms, value)
    return windows


def figure(windows: dict[str, Window], now_ms: int = NOW_MS, window_ms: int | None = WINDOW_MS) -> float:
    return as_number(read(windows.get("m"), metric(window_ms=window_ms), now_ms))


@pytest.mark.parametrize(
    ("age_ms", "counted"),
    [(0, 1), (WINDOW_MS - 1, 1), (WINDOW_MS, 1), (WINDOW_MS + 1, 0), (2 * WINDOW_MS, 0), (-5_000, 1)],
)
def test_an_event_leaves_with_the_bucket_that_the_window_ends_in(age_ms: int, counted: int) -> None:
    assert NOW_MS % 1_000 == 0
    assert figure(observed(age_ms)) == counted


def test_an_event_leaves_at_most_one_sixtieth_late() -> None:
    windows = observed(0)
    assert figure(windows, NOW_MS + WINDOW_MS + 999) == 1
    assert figure(windows, NOW_MS + WINDOW_MS + 1_000) == 0


def test_all_time_never_forgets_and_keeps_one_bucket() -> None:
    windows = observed(0, 10**12, 5, window_ms=None)
    assert windows["m"].buckets == {0: 3.0}
    assert figure(windows, NOW_MS + 10**12, window_ms=None) == 3


def test_a_late_event_lands_in_its_bucket_while_that_exists() -> None:
    windows = observed(0, 60_000)
    assert sorted(windows["m"].buckets.values()) == [1.0, 1.0]
    observe(windows, metric(window_ms=WINDOW_MS), NOW_MS - 61_000, 1.0)
    assert len(windows["m"].buckets) == 2


def test_buckets_more_than_sixty_widths_behind_the_newest_are_forgotten() -> None:
    windows = observed(60_000, 59_000, 0)
    observe(windows, metric(window_ms=WINDOW_MS), NOW_MS + 1_000, 1.0)
    newest = (NOW_MS + 1_000) // 1_000
    assert sorted(newest - bucket for bucket in windows["m"].buckets) == [0, 1, 60]


def test_a_metric_of_another_width_starts_anew() -> None:
    windows = observed(1, 2, 3)
    assert read(windows["m"], metric(window_ms=2 * WINDOW_MS), NOW_MS) == 0
    observe(windows, metric(window_ms=2 * WINDOW_MS), NOW_MS, 1.0)
    assert figure(windows, window_ms=2 * WINDOW_MS) == 1


def test_a_window_survives_its_codec() -> None:
    windows = observed(0, 1_000, 50_000)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(windows), type=dict[str, Window])
    assert figure(again) == 3


@given(
    ages=st.lists(st.integers(-2_000, 200_000), max_size=80),
    window_ms=st.sampled_from([1, 59, 60, 61, 1_000, 60_000, 61_234]),
    now_ms=st.integers(NOW_MS - 100_000, NOW_MS + 100_000),
)
def test_a_figure_is_between_the_exact_window_and_one_sixtieth_more(
    ages: list[int], window_ms: int, now_ms: int
) -> None:
    """In order of time, nothing is forgotten early and nothing stays more than a width."""
    times = sorted(NOW_MS - age_ms for age_ms in ages)
    windows: dict[str, Window] = {}
    for at_ms in times:
        observe(windows, metric(window_ms=window_ms), at_ms, 1.0)
    width_ms = -(-window_ms // 60)
    newest = max(times, default=0)
    now_ms = max(now_ms, newest)
    exact = sum(at_ms > now_ms - window_ms for at_ms in times)
    late = sum(at_ms > now_ms - window_ms - width_ms for at_ms in times)
    assert exact <= figure(windows, now_ms, window_ms) <= late
    assert len(windows.get("m", Window(0)).buckets) <= 61


@given(
    events=st.lists(st.tuples(st.integers(-500, 500_000), st.floats(-1e6, 1e6)), max_size=60),
    window_ms=st.sampled_from([None, 7, 60, 6_000, 60_000]),
)
def test_buckets_hold_what_brute_force_puts_there(
    events: list[tuple[int, float]], window_ms: int | None
) -> None:
    one = metric("sum", window_ms, ("amount",))
    windows: dict[str, Window] = {}
    wanted: dict[int, float] = {}
    for at_ms, value in events:
        observe(windows, one, at_ms, value)
        bucket = at_ms // one.width_ms if one.width_ms else 0
        if bucket >= max([*wanted, bucket]) - 60:
            wanted[bucket] = wanted.get(bucket, 0.0) + value
        wanted = {kept: total for kept, total in wanted.items() if kept >= max(wanted) - 60}
    assert (windows["m"].buckets if windows else {}) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"cart": {"amount": 3}}, 3.0),
        ({"cart": {"amount": -2.5}}, -2.5),
        ({"cart": {"amount": True}}, None),
        ({"cart": {"amount": "3"}}, None),
        ({"cart": {"amount": None}}, None),
        ({"cart": {"amount": math.nan}}, None),
        ({"cart": {"amount": math.inf}}, None),
        ({"cart": {"amount": 10**400}}, None),
        ({"cart": {"amount": -(10**400)}}, None),
        ({"cart": {"amount": 1e300}}, None),
        ({"cart": [1]}, None),
        ({"cart": 5}, None),
        ({}, None),
        (None, None),
        ("cart", None),
    ],
)
def test_only_numbers_are_summed(data: object, value: float | None) -> None:
    assert field_value(metric("sum", None, ("cart", "amount")), data) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["cart", "amount", "x"]), inner),
    )
)
def test_no_data_breaks_a_sum(data: Any) -> None:
    windows: dict[str, Window] = {}
    value = field_value(metric("sum", 60, ("cart", "amount")), data)
    if value is not None:
        observe(windows, metric("sum", 60, ("cart", "amount")), NOW_MS, value)
    assert math.isfinite(as_number(read(windows.get("m"), metric("sum", 60, ("cart", "amount")), NOW_MS)))


def test_a_count_counts_whatever_the_data() -> None:
    assert field_value(metric("count"), {"anything": 1}) == 1.0
    assert field_value(metric("count"), None) == 1.0


def test_compiling_takes_the_namespace_off_the_field() -> None:
    document = {"key": "m", "aggregate": "sum", "eventTypes": ["buy"], "field": "data.cart.amount"}
    compiled = compile_metric(msgspec.convert(document, BehaviouralMetric))
    assert (compiled.field, compiled.width_ms, compiled.window_ms) == (("cart", "amount"), 0, None)
    windowed = msgspec.convert({**document, "field": "conversionValue", "windowMs": 61}, BehaviouralMetric)
    assert compile_metric(windowed).field == ("conversionValue",)
    assert compile_metric(windowed).width_ms == 2
