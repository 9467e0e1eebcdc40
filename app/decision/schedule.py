"""When an offer may be made: from its start until just before its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.decision.entities import Offer

#: The schedule of an offer that has none, epoch ms.
ALWAYS_MS = (-(2**63), 2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def schedule_ms(offer: Offer) -> tuple[int, int]:
    """An offer's schedule: from (inclusive) until (exclusive), epoch ms."""
    return _epoch_ms(offer.start_at, ALWAYS_MS[0]), _epoch_ms(offer.end_at, ALWAYS_MS[1])


def on_schedule(offer: Offer, now_ms: int) -> bool:
    """Whether an instant (epoch ms) is within an offer's schedule."""
    start_ms, end_ms = schedule_ms(offer)
    return start_ms <= now_ms < end_ms


def _epoch_ms(at: datetime | None, otherwise: int) -> int:
    return otherwise if at is None else (at - _EPOCH) // timedelta(milliseconds=1)
