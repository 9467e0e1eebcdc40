"""A metric's window made from the customer's recent events, for a metric that had none.

Rules of this module:

1.  A new metric, or one whose definition changed, counts what is still kept of the customer's events one by
    one (see `recent`), in fold order, each at its own time: as if it had been there when they were folded.
2.  Its window says since when it misses nothing. Events that were too large to be kept whole count when the
    metric does not look at their data, else the window is complete only after them.
3.  A window stored before metrics had fingerprints is taken for one of a `count` or `sum` of the same width;
    there were no filters then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from app.decision.metrics.metric import CompiledMetric, Past
from app.decision.metrics.placing import add
from app.decision.windows import Window

_data = msgspec.json.Decoder()


def belongs(window: Window, metric: CompiledMetric) -> bool:
    """Whether a window is of this definition of the metric."""
    if window.fingerprint:
        return window.fingerprint == metric.fingerprint
    unfiltered = metric.aggregate in ("count", "sum") and not metric.filtered
    return unfiltered and window.width_ms == metric.width_ms


def window_of(windows: Mapping[str, Window], metric: CompiledMetric, past: Past) -> Window:
    """The customer's window of the metric, made from `past` when there is none; nothing is stored."""
    window = windows.get(metric.key)
    return window if window is not None and belongs(window, metric) else opened(metric, past)


def opened(metric: CompiledMetric, past: Past) -> Window:
    """A new window of the metric, with those of the customer's kept events that it counts."""
    window = Window(metric.width_ms, {}, metric.fingerprint, past.recent_since_ms)
    take, place = metric.take, metric.place or add
    for event in past.recent:
        if event.type not in metric.event_types:
            continue
        if take is None:
            place(window, metric, event.at_ms, 1.0)
        elif not event.data:
            window.since_ms = max(window.since_ms, event.at_ms + 1)
        elif (value := take(_data.decode(event.data))) is not None:
            place(window, metric, event.at_ms, value)
    return window


def open_windows(windows: dict[str, Window], metrics: Iterable[CompiledMetric], past: Past) -> None:
    """Open a window of each metric that has none, in place: events that are about to go are in it."""
    for metric in metrics:
        window = windows.get(metric.key)
        if window is None or (window.fingerprint != metric.fingerprint and not belongs(window, metric)):
            windows[metric.key] = opened(metric, past)


def complete_since(
    windows: Mapping[str, Window], metric: CompiledMetric, now_ms: int, past: Past
) -> int | None:
    """The instant (epoch ms) since when the metric's figure at `now_ms` misses nothing.

    None when it misses nothing at all: everything that the figure is about was counted.
    """
    since_ms = window_of(windows, metric, past).since_ms
    if metric.window_ms is not None and since_ms <= now_ms - metric.window_ms:
        return None
    return since_ms or None
