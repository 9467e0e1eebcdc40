"""Counting an event into a customer's windows.

Rules of this module:

1.  This is the hottest code of the project: no allocation and no call that the common case, a count or sum
    whose bucket is there, does not need.
2.  A metric's first event for a customer, and the first after its definition changed, opens its window from
    the customer's recent events. The event being folded must not be among them yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.decision.metrics.backfill import belongs, opened
from app.decision.metrics.metric import NO_PAST, CompiledMetric, Past, Value
from app.decision.metrics.placing import admitted
from app.decision.windows import Window


def field_value(metric: CompiledMetric, data: object) -> Value | None:
    """What an event adds, None when it does not count. Never raises.

    Args:
        metric: The metric, compiled.
        data: The event's `data`; for an outcome the mapping with `conversionValue`, `offerId`, `channelId`.
    """
    take = metric.take
    return 1.0 if take is None else take(data)


def observe_all(
    windows: dict[str, Window], metrics: Iterable[CompiledMetric], at_ms: int, data: object, past: Past
) -> None:
    """Count one event into the customer's windows of some metrics, in place; the arguments as of `observe`.

    The common case stands here, without a call: it is a third of the fold of an event.
    """
    for metric in metrics:
        take = metric.take
        value: Any = 1.0 if take is None else take(data)
        if value is None:
            continue
        window = windows.get(metric.key)
        if metric.place is None and window is not None and window.fingerprint == metric.fingerprint:
            width_ms = metric.width_ms
            bucket = at_ms // width_ms if width_ms else 0
            if bucket in window.buckets:
                window.buckets[bucket] += value
                continue
        observe(windows, metric, at_ms, value, past)


def observe(
    windows: dict[str, Window], metric: CompiledMetric, at_ms: int, value: Any, past: Past = NO_PAST
) -> None:
    """Count one event into the customer's window of the metric, in place.

    Invariant: all buckets lie within 60 widths of the newest.

    Args:
        windows: The customer's windows by metric key; one is added on the metric's first event.
        metric: The metric, compiled.
        at_ms: When the event happened, epoch ms; any order.
        value: What it adds, by `field_value`.
        past: The customer's events before this one.
    """
    window = windows.get(metric.key)
    if window is None or window.fingerprint != metric.fingerprint:
        window = windows[metric.key] = _window(window, metric, past)
    if metric.place is not None:
        metric.place(window, metric, at_ms, value)
        return
    width_ms = metric.width_ms
    bucket = at_ms // width_ms if width_ms else 0
    buckets = window.buckets
    if bucket in buckets:
        buckets[bucket] += value
    elif not buckets or admitted(buckets, bucket):
        buckets[bucket] = value


def _window(window: Window | None, metric: CompiledMetric, past: Past) -> Window:
    """The window to count into when the one at hand, if any, is not marked as the metric's."""
    if window is None or not belongs(window, metric):
        return opened(metric, past)
    window.fingerprint = metric.fingerprint
    return window
