"""Behavioural metrics: what one event adds to a customer's figures, and what they are now.

By concern: `compiling` a document, `taking` a value from an event, `observing` it into a window (`placing`,
`distinct`, `sketch`), `reading` the figure, and the `backfill` of a metric that is new.
"""

from __future__ import annotations

from app.decision.metrics.backfill import complete_since, open_windows, window_of
from app.decision.metrics.compiling import compile_event_filter, compile_metric, countable
from app.decision.metrics.metric import BUCKETS, VALUE_MAX, CompiledMetric, Figure, Past
from app.decision.metrics.observing import field_value, observe, observe_all
from app.decision.metrics.reading import figure, read

__all__ = [
    "BUCKETS",
    "VALUE_MAX",
    "CompiledMetric",
    "Figure",
    "Past",
    "compile_event_filter",
    "compile_metric",
    "complete_since",
    "countable",
    "field_value",
    "figure",
    "observe",
    "observe_all",
    "open_windows",
    "read",
    "window_of",
]
