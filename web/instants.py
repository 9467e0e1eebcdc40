"""Instants on the wire: RFC 3339 in UTC with milliseconds, and how far ahead one may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.decision.refusals import Problem

#: A caller's clock may be ahead by this much.
AHEAD_MAX_MS = 5 * 60_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def instant(at_ms: int) -> datetime:
    """Epoch milliseconds as an aware UTC datetime."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def iso(at: datetime) -> str:
    """`2026-03-10T14:30:00.000Z` of an aware datetime.

    Instants at the edge of the calendar, whose UTC time it does not hold, keep their own offset.
    """
    try:
        return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    except OverflowError:
        return at.isoformat(timespec="milliseconds")


def iso_ms(at_ms: int) -> str:
    """`iso` of epoch milliseconds; beyond the calendar, its last or first instant."""
    return iso(instant(min(max(at_ms, _FIRST_MS), _LAST_MS)))


def check_not_ahead(at: datetime | None, now_ms: int, problems: list[Problem]) -> None:
    """Adds a problem when a request's `timestamp` is more than 5 minutes ahead."""
    if at is not None and (at - _EPOCH) // timedelta(milliseconds=1) > now_ms + AHEAD_MAX_MS:
        problems.append(Problem("timestamp", "is more than 5 minutes ahead"))
