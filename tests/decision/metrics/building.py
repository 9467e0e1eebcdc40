"""Metrics over lists of events, by the metrics' own functions and by brute force."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.decision.metrics import CompiledMetric, Figure, field_value, observe, read
from app.decision.state import Window

NOW_MS = 1_800_000_000_000
WINDOW_MS = 60_000

#: When it happened (epoch ms), and the value of its field.
Happening = tuple[int, Any]


def as_number(figure: Figure) -> float:
    """A figure that must be a number."""
    assert isinstance(figure, float), figure
    return figure


def window_after(metric: CompiledMetric, events: Sequence[Happening]) -> Window | None:
    """The customer's window after events, in this order, of data `{"v": value}`."""
    windows: dict[str, Window] = {}
    for at_ms, value in events:
        taken = field_value(metric, {"v": value})
        if taken is not None:
            observe(windows, metric, at_ms, taken)
    return windows.get(metric.key)


def figure_of(metric: CompiledMetric, events: Sequence[Happening], now_ms: int = NOW_MS) -> Figure:
    """The metric at `now_ms` after events."""
    return read(window_after(metric, events), metric, now_ms)


def brute_force(aggregate: str, events: Sequence[Happening], after_ms: float = -math.inf) -> Figure:
    """The aggregate over all events later than `after_ms`, by the definition in words."""
    inside = [(at_ms, value) for at_ms, value in events if at_ms > after_ms]
    if aggregate == "count":
        return float(len(inside))
    if aggregate == "last":
        known = [one for one in inside if isinstance(one[1], str | int | float)]
        return max(enumerate(known), key=lambda one: (one[1][0], one[0]))[1][1] if known else None
    if aggregate == "distinct":
        scalars = [one for _, one in inside if isinstance(one, str | int | float)]
        return float(len({(type(one) if isinstance(one, str | bool) else float, one) for one in scalars}))
    numbers = [value for _, value in inside if type(value) in (int, float)]
    if aggregate == "sum":
        return math.fsum(numbers)
    if not numbers:
        return None
    if aggregate == "avg":
        return math.fsum(numbers) / len(numbers)
    return float(min(numbers) if aggregate == "min" else max(numbers))
