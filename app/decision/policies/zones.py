"""Time zones and calendar periods: when a customer's hour, day, week and month began.

Rules of this module:

1.  Zones come from the `tzdata` package, not from the machine, so that every worker has the same ones. Each
    is read once. A name that is not among them is no zone: the next one in line holds, in the end UTC.
2.  A period begins at the first instant at which the zone's clocks show its beginning; where they jump over
    it, at the jump. So a day may have 23 or 25 hours, an hour that clocks show twice is one hour, and a day
    whose midnight does not exist begins later.
3.  Weeks begin on Monday.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Literal
from zoneinfo import ZoneInfo

Unit = Literal["hour", "day", "week", "month"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@cache
def zone_names() -> frozenset[str]:
    """Every time zone's name, as the IANA database spells it."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


def find_zone(name: str | None) -> ZoneInfo | None:
    """The zone of this IANA name; None when there is none."""
    return _read(name) if name is not None and name in zone_names() else None


def no_zone(name: str) -> str:
    """What is wrong with a name that is no zone's."""
    return f"{name} is not a time zone of the IANA database"


@cache
def _read(name: str) -> ZoneInfo:
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def first_zone(*names: str | None) -> ZoneInfo:
    """The first of these names that is a zone; UTC when none is."""
    for name in names:
        zone = find_zone(name)
        if zone is not None:
            return zone
    return _read("UTC")


def shown_at(zone: ZoneInfo, at_ms: int) -> datetime:
    """What the zone's clocks show at an instant (epoch ms), with the offset."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


@lru_cache(maxsize=8_192)
def first_instant_ms(zone: ZoneInfo, wanted: datetime) -> int:
    """The first instant (epoch ms) at which clocks show `wanted`, or jump over it.

    Args:
        zone: Whose clocks.
        wanted: What they show, without a zone.
    """
    at_ms = _epoch_ms(wanted.replace(tzinfo=zone, fold=0))
    if _bare(zone, at_ms) == wanted:
        return at_ms
    # Inside a gap fold 1 names an instant before the jump and fold 0 one after it (PEP 495).
    before_ms = _epoch_ms(wanted.replace(tzinfo=zone, fold=1))
    while at_ms - before_ms > 1:
        middle_ms = (before_ms + at_ms) // 2
        if _bare(zone, middle_ms) >= wanted:
            at_ms = middle_ms
        else:
            before_ms = middle_ms
    return at_ms


def _epoch_ms(at: datetime) -> int:
    return (at - _EPOCH) // _MS


def _bare(zone: ZoneInfo, at_ms: int) -> datetime:
    return shown_at(zone, at_ms).replace(tzinfo=None, fold=0)


class LocalClock:
    """One instant as a customer's clock shows it. Nothing is looked up before it is asked for."""

    __slots__ = ("_local", "_names", "_zone", "now_ms")

    def __init__(self, now_ms: int, *names: str | None) -> None:
        self.now_ms = now_ms
        self._names = names
        self._zone: ZoneInfo | None = None
        self._local: datetime | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The first of the names given that is a zone, else UTC."""
        if self._zone is None:
            self._zone = first_zone(*self._names)
        return self._zone

    @property
    def local(self) -> datetime:
        """What the clock shows now, with the offset."""
        if self._local is None:
            self._local = shown_at(self.zone, self.now_ms)
        return self._local

    def began_ms(self, unit: Unit) -> int:
        """When the hour, day, week or month that it is now began, epoch ms."""
        return first_instant_ms(self.zone, self._beginning(unit))

    def ends_ms(self, unit: Unit) -> int:
        """When the next one begins, epoch ms."""
        begins = self._beginning(unit)
        if unit == "month":
            follows = (begins + timedelta(days=32)).replace(day=1)
        else:
            follows = begins + {"hour": timedelta(hours=1), "day": timedelta(1), "week": timedelta(7)}[unit]
        ends_ms = first_instant_ms(self.zone, follows)
        if ends_ms > self.now_ms:
            return ends_ms
        # Clocks that go back by two hours at once showed the next hour before: it comes again.
        return _epoch_ms(follows.replace(tzinfo=self.zone, fold=1))

    def _beginning(self, unit: Unit) -> datetime:
        local = self.local.replace(tzinfo=None, fold=0)
        if unit == "hour":
            return local.replace(minute=0, second=0, microsecond=0)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if unit == "month" else day

    def text(self, at_ms: int) -> str:
        """An instant near now as the clock shows it, ISO 8601 with the offset."""
        return shown_at(self.zone, at_ms).isoformat(timespec="milliseconds")
