"""Windows: which contacts count now.

Rules of this module:

1.  A rolling window of length w counts the contacts younger than w: one exactly w old no longer counts. A
    calendar window counts those since the customer's hour, day, week or month began, that instant included.
    Without length and unit every contact counts. One stamped ahead of now always does.
2.  The contact log keeps 400 days, so no window may be longer.
3.  With `calendar` a length in ms names the period it is as long as: 24 hours the day. Others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.decision.policies.zones import LocalClock, Unit
from app.decision.problems import Problem
from app.decision.state import CONTACT_WINDOW_MS

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
MONTH_MS = 30 * DAY_MS

UNITS: Mapping[int, Unit] = {HOUR_MS: "hour", DAY_MS: "day", WEEK_MS: "week", MONTH_MS: "month"}

#: Longer than any age: what a window without end reaches back.
_FOR_EVER_MS = 2**62


class CountingWindow(msgspec.Struct, frozen=True):
    """A window of contacts: `length_ms` rolling, or a calendar `unit`; neither counts every contact."""

    length_ms: int | None = None
    unit: Unit | None = None

    @property
    def reach_ms(self) -> int:
        """How long before now the first instant that counts is; of no use for a calendar window."""
        return _FOR_EVER_MS if self.length_ms is None else self.length_ms - 1

    def since_ms(self, clock: LocalClock) -> int:
        """The first instant whose contacts count now, epoch ms."""
        if self.unit is not None:
            return clock.began_ms(self.unit)
        return clock.now_ms - self.reach_ms

    def numbers(self, clock: LocalClock) -> dict[str, Any]:
        """The window as a trace shows it: its length, or from and to in the customer's time zone."""
        if self.unit is None:
            return {"windowMs": self.length_ms}
        return {
            "calendar": self.unit,
            "from": clock.text(clock.began_ms(self.unit)),
            "to": clock.text(clock.ends_ms(self.unit)),
            "timeZone": clock.zone.key,
        }


def window_of(length_ms: int, calendar: bool, path: str) -> CountingWindow | Problem:
    """The window of a length, rolling or by calendar, or why there is none such."""
    problem = too_long(length_ms, path)
    if problem is not None:
        return problem
    if not calendar:
        return CountingWindow(length_ms=length_ms)
    unit = UNITS.get(length_ms)
    if unit is None:
        known = ", ".join(f"{length} ({name})" for length, name in UNITS.items())
        return Problem(path, f"must be a calendar period with calendar: true; one of: {known}")
    return CountingWindow(unit=unit)


def too_long(length_ms: int, path: str) -> Problem | None:
    """Why a length is refused: the log forgets contacts before such a window ends."""
    if length_ms <= CONTACT_WINDOW_MS:
        return None
    return Problem(path, f"must be at most {CONTACT_WINDOW_MS} (400 days): the contact log keeps no more")
