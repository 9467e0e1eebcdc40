"""Counting one customer's contacts inside a window.

Rules of this module:

1.  Contacts kept one by one count exactly. A total whose first contact is inside the window, or whose last
    one is before it, is exact too. One that the window's edge falls into counts whole: too many may be
    counted, never too few, and the count is then called inexact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import msgspec

from app.decision.state import ContactTotal


class History(msgspec.Struct, gc=False):
    """The contacts of one counter: times (epoch ms, ascending) and totals."""

    times: list[int]
    totals: list[ContactTotal]

    def count(self, since_ms: int) -> int:
        """How many contacts since an instant, that one included."""
        times = self.times
        found = len(times) - bisect_left(times, since_ms)
        for total in self.totals:
            if total.last_ms >= since_ms:
                found += total.count
        return found

    def inexact(self, since_ms: int) -> bool:
        """Whether a total that counts began before that instant."""
        return any(total.first_ms < since_ms <= total.last_ms for total in self.totals)

    def last_ms(self) -> int | None:
        """When the latest contact was; None when there is none."""
        latest = [total.last_ms for total in self.totals]
        if self.times:
            latest.append(self.times[-1])
        return max(latest, default=None)

    def counted(self, since_ms: int, taken: int) -> dict[str, Any]:
        """The count as a trace shows it, with the candidates of this very decision."""
        numbers: dict[str, Any] = {"count": self.count(since_ms) + taken}
        if taken:
            numbers["takenInThisDecision"] = taken
        if self.inexact(since_ms):
            numbers["inexact"] = True
        return numbers


def history(times: Sequence[int] = (), totals: Sequence[ContactTotal] = ()) -> History:
    """A history of contacts in any order."""
    return History(sorted(times), list(totals))


NO_HISTORY = history()
