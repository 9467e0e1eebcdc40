"""Calendar months in UTC, and how much was counted in the newest of them.

Rules of this module:

1.  A month is a number, 12 for each year, so that the next month is the next number.
2.  A count is of its newest month, and keeps the one before: clocks differ, and a worker that is ahead must
    not make the others' month look empty. What is older is not counted any more.
3.  Stored in the state and on the log: append fields only at the end, with a default.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec


class Monthly(msgspec.Struct, frozen=True, array_like=True):
    """What was counted in a month, and in the one before it."""

    month: int = 0
    count: int = 0
    before: int = 0

    def of(self, month: int) -> int:
        """What was counted in a month; 0 for one that is not kept."""
        if month == self.month:
            return self.count
        return self.before if month == self.month - 1 else 0

    def and_one(self, month: int) -> Monthly:
        """With one more in a month; the same when that month is not kept any more."""
        if month == self.month:
            return Monthly(month, self.count + 1, self.before)
        if month > self.month:
            return Monthly(month, 1, self.of(month - 1))
        return Monthly(self.month, self.count, self.before + 1) if month == self.month - 1 else self


def sum_of(counts: Iterable[Monthly]) -> Monthly:
    """What several counts make together, in the newest month of all; their order changes nothing."""
    known = list(counts)
    newest = max((each.month for each in known), default=0)
    return Monthly(newest, sum(each.of(newest) for each in known), sum(each.of(newest - 1) for each in known))


def month_of(at_ms: int) -> int:
    """The number of the month in which an instant lies, epoch milliseconds up to the year 9999."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return at.year * 12 + at.month - 1


def month_ends_ms(month: int) -> int:
    """When a month ends, which is when the next one begins; epoch milliseconds."""
    year, index = divmod(month + 1, 12)
    return int(datetime(year, index + 1, 1, tzinfo=UTC).timestamp()) * 1000


def month_name(month: int) -> str:
    """A month as people write it, `2026-11`."""
    year, index = divmod(month, 12)
    return f"{year:04}-{index + 1:02}"
