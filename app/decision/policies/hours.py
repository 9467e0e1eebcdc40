"""time_window: on which days and at which hours a customer may be contacted.

Rules of this module:

1.  A window is open on its days, from `from` until just before `to`, by the customer's clock. Days left out
    mean every day, hours left out the whole day.
2.  One that crosses midnight belongs to the day on which it began: Friday 22:00 to 06:00 ends on Saturday.
3.  It goes by what clocks show: an hour they skip is never inside, one they show twice is inside twice.
4.  Outside the window candidates in scope are blocked; with `invert`, inside it (quiet hours).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from app.decision.entities import ContactPolicy, Part
from app.decision.loading import load_struct
from app.decision.policies.rules import Moment, StateRule
from app.decision.problems import Problem, join

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: By full name, by the first three letters, and by ISO 8601's number.
_NUMBER_OF = {
    **{name: number for number, name in enumerate(DAYS)},
    **{name[:3]: number for number, name in enumerate(DAYS)},
}
_DAY_MINUTES = 24 * 60

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", re.ASCII)


class TimeWindowConfig(Part, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Days by name (`monday`, `mon`) or ISO number (1 is Monday), and hours as HH:MM."""

    days: tuple[str | int, ...] = ()
    from_: str | None = None
    to: str | None = None
    invert: bool = False


class OpenHours(StateRule, frozen=True):
    """Blocks outside the window, or, inverted, inside it."""

    #: Open on these days, 0 is Monday.
    days: frozenset[int]
    #: Minutes of the day; `until` before `since` crosses midnight.
    since: int
    until: int
    invert: bool

    def blocks(self, moment: Moment) -> bool:
        """Whether now is on the wrong side."""
        return self._inside(moment.clock.local) is self.invert

    def _inside(self, local: datetime) -> bool:
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.since < self.until:
            return day in self.days and self.since <= minute < self.until
        if minute >= self.since:
            return day in self.days
        return minute < self.until and (day - 1) % 7 in self.days

    def numbers(self, moment: Moment) -> dict[str, Any]:
        """What the customer's clock shows, and the window."""
        return {
            "localTime": moment.clock.text(moment.clock.now_ms),
            "timeZone": moment.clock.zone.key,
            "days": [DAYS[day] for day in sorted(self.days)],
            "from": _text(self.since),
            "to": _text(self.until),
            "invert": self.invert,
        }


def time_window(policy: ContactPolicy, at: str) -> OpenHours | list[Problem]:
    """The hours of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(TimeWindowConfig, policy.config, at)
    if isinstance(config, list):
        return config
    problems = list(_contradictions(config, at))
    if problems:
        return problems
    since, until = _minutes(config.from_, 0), _minutes(config.to, _DAY_MINUTES)
    days = {day for one in config.days if (day := _day(one)) is not None} or set(range(7))
    return OpenHours(frozenset(days), since, until, config.invert)


def _contradictions(config: TimeWindowConfig, at: str) -> Iterator[Problem]:
    for i, day in enumerate(config.days):
        if _day(day) is None:
            message = "must be a day's name, as in monday or mon, or 1 (Monday) to 7"
            yield Problem(join(at, f"days[{i}]"), message)
    if not config.days and config.from_ is None and config.to is None:
        yield Problem(at, "must set days, or from and to, or both")
    if (config.from_ is None) is not (config.to is None):
        missing = "from" if config.from_ is None else "to"
        yield Problem(join(at, missing), "is required: from and to go together")
    for name, time in (("from", config.from_), ("to", config.to)):
        if time is not None and not _TIME.fullmatch(time):
            yield Problem(join(at, name), "must be a time of day, HH:MM, from 00:00 to 24:00")
    if config.from_ == "24:00":
        yield Problem(join(at, "from"), "must be before 24:00")
    elif config.from_ is not None and config.from_ == config.to:
        yield Problem(join(at, "to"), "must differ from from; leave both out for whole days")


def _day(day: str | int) -> int | None:
    """0 for Monday to 6, None when it is no day."""
    if isinstance(day, str):
        return _NUMBER_OF.get(day.lower())
    return day - 1 if 1 <= day <= 7 else None


def _minutes(time: str | None, otherwise: int) -> int:
    return otherwise if time is None else int(time[:2]) * 60 + int(time[3:])


def _text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
