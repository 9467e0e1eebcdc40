"""What a customer's metric is now.

Rules of this module:

1.  A reading counts every bucket that reaches into the window: an event leaves at most one width (1/60 of
    the window) late, never early. An event stamped ahead of now counts at once, so that whoever was told
    that it is recorded also sees it. `last` is exact to the millisecond: an event exactly one window old
    is no longer its answer.
2.  Without events a `count`, `sum` and `distinct` is 0; an `avg`, `min`, `max` and `last` is missing.
3.  Reading changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from app.decision.metrics import distinct
from app.decision.metrics.backfill import belongs, window_of
from app.decision.metrics.metric import CompiledMetric, Figure, Past
from app.decision.windows import Counts, Distinct, Last, Window


def figure(windows: Mapping[str, Window], metric: CompiledMetric, now_ms: int, past: Past) -> Figure:
    """The metric at `now_ms` (epoch ms), counted from `past` when the customer has no window of it."""
    return read(window_of(windows, metric, past), metric, now_ms)


def read(window: Window | None, metric: CompiledMetric, now_ms: int) -> Figure:
    """The metric at `now_ms` (epoch ms) by its window alone."""
    if window is None or not belongs(window, metric):
        return _ZERO.get(metric.aggregate)
    if metric.aggregate == "last":
        return _last(window, metric, now_ms)
    oldest = 0 if metric.window_ms is None else (now_ms - metric.window_ms) // metric.width_ms
    if metric.aggregate == "distinct":
        return distinct.figure(window.kept, oldest) if isinstance(window.kept, Distinct) else 0.0
    if metric.aggregate == "avg":
        return _average(window, oldest)
    values = [value for bucket, value in window.buckets.items() if bucket >= oldest]
    return _OF_VALUES[metric.aggregate](values)


def _last(window: Window, metric: CompiledMetric, now_ms: int) -> Figure:
    kept = window.kept
    if not isinstance(kept, Last):
        return None
    if metric.window_ms is not None and kept.at_ms <= now_ms - metric.window_ms:
        return None
    return kept.value


def _average(window: Window, oldest: int) -> Figure:
    counts = window.kept.buckets if isinstance(window.kept, Counts) else {}
    values = [(value, counts[bucket]) for bucket, value in window.buckets.items() if bucket >= oldest]
    number = sum(count for _, count in values)
    return math.fsum([value for value, _ in values]) / number if number else None


_OF_VALUES: Mapping[str, Callable[[list[Any]], Figure]] = {
    "count": math.fsum,
    "sum": math.fsum,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}

#: What a metric is without events; missing where it is not named.
_ZERO: Mapping[str, float] = {"count": 0.0, "sum": 0.0, "distinct": 0.0}
