"""Behavioural metrics: what one event adds to a customer's figures, and what they are now.

Rules of this module:

1.  A window of length w is kept in buckets of width ceil(w / 60); an event falls into the bucket of its own
    time, whenever it arrives. All time is one bucket, number 0, of width 0.
2.  A bucket more than 60 widths behind the newest is forgotten, and an event that would fall there is not
    counted: the window it belonged to is over.
3.  A reading counts every bucket that reaches into the window: an event leaves at most one width (1/60 of
    the window) late, never early. An event stamped ahead of now counts at once, so that whoever was told
    that it is recorded also sees it.
4.  A metric whose width changed starts anew; its old buckets cannot be split.
5.  This is the hottest code of the project: no allocation and no call that the common case does not need.
"""

from __future__ import annotations

import math

import msgspec

from app.decision.entities import BehaviouralMetric
from app.decision.state import Window

BUCKETS = 60

#: Larger amounts are not counted: sums of them could leave the range of a float.
VALUE_MAX = 1e100


class CompiledMetric(msgspec.Struct, frozen=True, gc=False):
    """A metric as the fold uses it. `field` is the path inside the event's data, empty for a count."""

    key: str
    aggregate: str
    field: tuple[str, ...]
    width_ms: int
    window_ms: int | None


def compile_metric(metric: BehaviouralMetric) -> CompiledMetric:
    """The metric ready to observe. `data.a.b` and `a.b` name the same field."""
    path = tuple(metric.field.split(".")) if metric.field else ()
    if path[:1] == ("data",) and len(path) > 1:
        path = path[1:]
    width_ms = 0 if metric.window_ms is None else -(-metric.window_ms // BUCKETS)
    return CompiledMetric(metric.key, metric.aggregate, path, width_ms, metric.window_ms)


def observe(windows: dict[str, Window], metric: CompiledMetric, at_ms: int, value: float) -> None:
    """Count one event into the customer's window of the metric, in place.

    Invariant: all buckets lie within 60 widths of the newest.

    Args:
        windows: The customer's windows by metric key; one is added on the metric's first event.
        metric: The metric, compiled.
        at_ms: When the event happened, epoch ms; any order.
        value: What it adds: 1 for a count, `field_value` for a sum.
    """
    width_ms = metric.width_ms
    bucket = at_ms // width_ms if width_ms else 0
    window = windows.get(metric.key)
    if window is None or window.width_ms != width_ms:
        windows[metric.key] = Window(width_ms, {bucket: value})
        return
    buckets = window.buckets
    if bucket in buckets:
        buckets[bucket] += value
        return
    newest = max(buckets, default=bucket)
    if bucket >= newest - BUCKETS:
        buckets[bucket] = value
        if bucket > newest:
            for stale in [kept for kept in buckets if kept < bucket - BUCKETS]:
                del buckets[stale]


def read(window: Window | None, metric: CompiledMetric, now_ms: int) -> float:
    """The metric's figure at `now_ms` (epoch ms): 0 for a customer without events."""
    if window is None or window.width_ms != metric.width_ms:
        return 0.0
    if metric.window_ms is None:
        return math.fsum(window.buckets.values())
    oldest = (now_ms - metric.window_ms) // metric.width_ms
    return math.fsum([value for bucket, value in window.buckets.items() if bucket >= oldest])


def field_value(metric: CompiledMetric, data: object) -> float | None:
    """What an event adds: 1 to a count, its field to a sum, None when that is no number. Never raises.

    Args:
        metric: The metric, compiled.
        data: The event's `data`; for an outcome the mapping with `conversionValue`, `offerId`, `channelId`.
    """
    if not metric.field:
        return 1.0
    value = data
    for name in metric.field:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Written so that not-a-number fails it too; Python compares integers of any size with a float.
    if not -VALUE_MAX <= value <= VALUE_MAX:
        return None
    return float(value)
