"""Where a value goes in a window, by aggregate.

Rules of this module:

1.  A window of length w is kept in buckets of width ceil(w / 60); an event falls into the bucket of its own
    time, whenever it arrives. All time is one bucket, number 0, of width 0.
2.  A bucket more than 60 widths behind the newest is forgotten, and an event that would fall there is not
    counted: the window it belonged to is over.
3.  `last` needs no buckets: only the newest event can be the answer, inside the window or outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.decision.metrics import distinct
from app.decision.metrics.metric import BUCKETS, CompiledMetric, Place, Value
from app.decision.windows import Counts, Distinct, Last, Window


def bucket_of(metric: CompiledMetric, at_ms: int) -> int:
    """The number of the bucket that an instant (epoch ms) falls into."""
    return at_ms // metric.width_ms if metric.width_ms else 0


def admitted(buckets: dict[int, float], bucket: int) -> bool:
    """Whether a bucket that is not there yet may be; those that it pushes out are forgotten."""
    newest = max(buckets, default=bucket)
    if bucket < newest - BUCKETS:
        return False
    if bucket > newest:
        for stale in [kept for kept in buckets if kept < bucket - BUCKETS]:
            del buckets[stale]
    return True


def add(window: Window, metric: CompiledMetric, at_ms: int, value: Any) -> None:
    """Add to the bucket's sum."""
    bucket = bucket_of(metric, at_ms)
    buckets = window.buckets
    if bucket in buckets:
        buckets[bucket] += value
    elif admitted(buckets, bucket):
        buckets[bucket] = value


def _extreme(choose: Callable[[float, float], float]) -> Place:
    def place(window: Window, metric: CompiledMetric, at_ms: int, value: float) -> None:
        bucket = bucket_of(metric, at_ms)
        buckets = window.buckets
        if bucket in buckets:
            buckets[bucket] = choose(buckets[bucket], value)
        elif admitted(buckets, bucket):
            buckets[bucket] = value

    return place


def _average(window: Window, metric: CompiledMetric, at_ms: int, value: float) -> None:
    if not isinstance(window.kept, Counts):
        window.kept = Counts()
    counts, bucket = window.kept.buckets, bucket_of(metric, at_ms)
    known = bucket in window.buckets
    add(window, metric, at_ms, value)
    if known:
        counts[bucket] += 1
    elif bucket in window.buckets:
        counts[bucket] = 1
        for stale in counts.keys() - window.buckets.keys():
            del counts[stale]


def _last(window: Window, metric: CompiledMetric, at_ms: int, value: Value) -> None:
    kept = window.kept
    if not isinstance(kept, Last) or at_ms >= kept.at_ms:
        window.kept = Last(at_ms, value)


def _distinct(window: Window, metric: CompiledMetric, at_ms: int, value: int) -> None:
    bucket = bucket_of(metric, at_ms)
    if not isinstance(window.kept, Distinct):
        window.kept = Distinct(bucket)
    distinct.enter(window.kept, bucket, value)


#: How a value goes into the window; None when it is added to its bucket.
PLACES: Mapping[str, Place | None] = {
    "count": None,
    "sum": None,
    "avg": _average,
    "min": _extreme(min),
    "max": _extreme(max),
    "last": _last,
    "distinct": _distinct,
}
