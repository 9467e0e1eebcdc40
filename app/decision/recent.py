"""The customer's recent events, one by one, for metrics that do not exist yet.

Rules of this module:

1.  The last 50 events of at most 30 days are kept, in fold order, outcomes among them as `outcome.<key>`;
    whole segments go, so up to 15 more may stay. Of a large event only time and type are kept.
2.  Before anything is lost, every metric gets its window: it has counted all there ever was, and what goes
    cannot be missed by it. `recent_since_ms` says what a later metric cannot know.
3.  This is in the hottest code: the bounds are looked at once a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.decision.metrics import CompiledMetric, open_windows
from app.decision.state import (
    RECENT_DATA_BYTES,
    RECENT_MAX,
    RECENT_SEGMENT,
    RECENT_WINDOW_MS,
    Customer,
    RecentEvent,
)

_encode = msgspec.json.Encoder().encode


class _Before(msgspec.Struct, frozen=True):
    """A customer's past as it was before some of it went."""

    recent: list[RecentEvent]
    recent_since_ms: int


def keep_event(
    customer: Customer,
    event_type: str,
    at_ms: int,
    data: dict[str, Any],
    metrics: Mapping[str, CompiledMetric],
    now_ms: int,
) -> None:
    """Keep an event that has just been counted, in place.

    Args:
        customer: owned by this fold.
        event_type: of an outcome `outcome.<key>`.
        at_ms: when it happened.
        data: what it said.
        metrics: all of the tenant's active ones.
        now_ms: the fold's.
    """
    if at_ms < now_ms - RECENT_WINDOW_MS:
        open_windows(customer.metrics, metrics.values(), customer)
        _lose(customer, at_ms)
        return
    encoded = _encode(data)
    if len(encoded) > RECENT_DATA_BYTES:
        open_windows(customer.metrics, metrics.values(), customer)
        encoded = b""
    recent = customer.recent
    recent.append(RecentEvent(at_ms, event_type, encoded))
    if not len(recent.entries) % RECENT_SEGMENT:
        _trim(customer, metrics, now_ms - RECENT_WINDOW_MS)


def _trim(customer: Customer, metrics: Mapping[str, CompiledMetric], horizon_ms: int) -> None:
    gone = customer.recent.trim(RECENT_MAX, lambda old: old.at_ms < horizon_ms)
    if gone:
        before = _Before(gone + customer.recent.entries, customer.recent_since_ms)
        open_windows(customer.metrics, metrics.values(), before)
        _lose(customer, max(old.at_ms for old in gone))


def _lose(customer: Customer, at_ms: int) -> None:
    """An event of this instant is no longer known by itself."""
    customer.recent_since_ms = max(customer.recent_since_ms, at_ms + 1)
