"""A metric's document made ready to count with.

Rules of this module:

1.  The fingerprint is of what makes a figure: aggregate, event types, field, filter and the buckets' width. A
    changed name or description changes nothing that was counted.
2.  Compiling never raises. A filter that is wrong (`validation` refuses it) lets no event count.
"""

from __future__ import annotations

import msgspec

from app.decision.conditions import Condition, compile_condition
from app.decision.entities import BehaviouralMetric
from app.decision.ids import stable_hash
from app.decision.metrics import sketch
from app.decision.metrics.metric import BUCKETS, CompiledMetric
from app.decision.metrics.placing import PLACES
from app.decision.metrics.taking import taker
from app.decision.outcomes import OUTCOME_ALIASES, canonical_event_type
from app.decision.problems import Problem

_FINGERPRINT_BITS = 32


def compile_metric(metric: BehaviouralMetric) -> CompiledMetric:
    """The metric ready to observe. `data.a.b` and `a.b` name the same field."""
    field = _path(metric.field)
    condition = compile_event_filter(metric)
    types = _event_types(metric)
    width_ms = 0 if metric.window_ms is None else -(-metric.window_ms // BUCKETS)
    return CompiledMetric(
        key=metric.key,
        aggregate=metric.aggregate,
        field=field,
        width_ms=width_ms,
        window_ms=metric.window_ms,
        filtered=condition is not None,
        event_types=types,
        fingerprint=_fingerprint(metric, types, field, width_ms),
        take=taker(metric.aggregate, field, _nothing if isinstance(condition, list) else condition),
        place=PLACES[metric.aggregate],
    )


def countable(metric: BehaviouralMetric) -> bool:
    """Whether this installation can count the metric: `distinct` takes a library."""
    return metric.aggregate != "distinct" or sketch.AVAILABLE


def compile_event_filter(metric: BehaviouralMetric, path: str = "filter") -> Condition | list[Problem] | None:
    """The metric's filter as a condition on `data.*`, None without one, or what is wrong with it."""
    return compile_condition(metric.filter, ("data",), path) if metric.filter else None


def _nothing(environment: object) -> bool:
    return False


def _path(field: str | None) -> tuple[str, ...]:
    path = tuple(field.split(".")) if field else ()
    return path[1:] if path[:1] == ("data",) and len(path) > 1 else path


def _event_types(metric: BehaviouralMetric) -> frozenset[str]:
    """The types that it counts, an outcome under all of its names."""
    types = {canonical_event_type(name) for name in metric.event_types}
    aliases = {f"outcome.{alias}" for alias, key in OUTCOME_ALIASES.items() if f"outcome.{key}" in types}
    return frozenset(types | aliases)


def _fingerprint(
    metric: BehaviouralMetric, types: frozenset[str], field: tuple[str, ...], width_ms: int
) -> int:
    """32 bits of what the metric counts, never 0; a change goes unseen once in 4 * 10^9."""
    filtered = msgspec.json.encode(metric.filter or None, order="sorted").hex()
    found = stable_hash(metric.aggregate, *sorted(types), "|", *field, "|", filtered, width_ms)
    return (found >> (64 - _FINGERPRINT_BITS)) or 1
