"""Dates and instants in formulas.

Rules of this module:

1.  A date is text of ISO 8601 (`2026-03-01`, the midnight in UTC that begins it), an instant is text with a
    time (`2026-03-01T10:00:00Z`, `+01:00`; in UTC where no offset is said), or a number of epoch ms.
2.  Days are 24 hours of UTC, which has no daylight saving time. Leap seconds are not known, as in epoch ms.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from app.decision.formula.values import Value

#: One part of what ISO 8601 allows, so that every version of Python reads the same.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_DAY_MS = 86_400_000
#: The years 1 to 9999, which is what dates can say.
_FIRST_MS = -62_135_596_800_000
_LAST_MS = 253_402_300_799_999


def instant_ms(value: Value) -> int | None:
    """The instant that a date, an instant or a number stands for, epoch ms; None when it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if _FIRST_MS <= value <= _LAST_MS else None
    if not _ISO.fullmatch(value):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:  # a 30th of February, a 25th hour
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS


def days_between(start: Value, end: Value) -> int | None:
    """How many whole days lie between, negative when `end` is earlier; null for what is no date."""
    start_ms, end_ms = instant_ms(start), instant_ms(end)
    if start_ms is None or end_ms is None:
        return None
    days = abs(end_ms - start_ms) // _DAY_MS
    return days if end_ms >= start_ms else -days
