"""The same five metrics for the contenders, by this project's own arithmetic: only the engines differ."""

from __future__ import annotations

import msgspec

from app.decision.entities import BehaviouralMetric
from app.decision.metrics import CompiledMetric, compile_metric, field_value, observe
from app.decision.records import Event, decode_event, epoch_ms
from app.decision.refusals import Refused
from app.decision.state import Window
from app.decision.validation import load_entity
from tests.bench.catalogues import METRICS

_encoder = msgspec.msgpack.Encoder()
_windows = msgspec.msgpack.Decoder(dict[str, Window])


def _compiled() -> tuple[CompiledMetric, ...]:
    loaded = (load_entity("behavioral-metrics", body) for body in METRICS)
    return tuple(compile_metric(metric) for metric in loaded if isinstance(metric, BehaviouralMetric))


_METRICS = _compiled()


def counted(state: bytes | None, record: bytes) -> bytes:
    """A customer's stored metrics after one more event; both as bytes."""
    event = decode_event(record)
    if isinstance(event, Refused):
        raise ValueError(f"a benchmark's own event was refused: {event.problems}")
    windows = {} if state is None else _windows.decode(state)
    at_ms = 0 if event.timestamp is None else epoch_ms(event.timestamp)
    _observe(windows, event, at_ms)
    return _encoder.encode(windows)


def purchases(state: bytes) -> float:
    """How many purchases a customer's stored metrics count."""
    return sum(_windows.decode(state)["purchases"].buckets.values())


def _observe(windows: dict[str, Window], event: Event, at_ms: int) -> None:
    data = event.data or {}
    for metric in _METRICS:
        value = field_value(metric, data)
        if value is not None:
            observe(windows, metric, at_ms, value)
