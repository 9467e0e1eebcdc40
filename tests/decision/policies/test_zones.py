"""Calendar periods: where they begin in every kind of zone, worked out by hand."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.decision.policies.zones import LocalClock, find_zone, first_zone, zone_names

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def ms(text: str) -> int:
    """Epoch ms of an ISO instant."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("zone", "now", "unit", "began", "ends"),
    [
        # Any day; Berlin is an hour ahead.
        (BERLIN, "2027-01-15T08:20:30.400Z", "hour", "2027-01-15T08:00Z", "2027-01-15T09:00Z"),
        (BERLIN, "2027-01-15T08:00Z", "day", "2027-01-14T23:00Z", "2027-01-15T23:00Z"),
        (BERLIN, "2027-01-14T23:00Z", "day", "2027-01-14T23:00Z", "2027-01-15T23:00Z"),
        (BERLIN, "2027-01-14T22:59:59.999Z", "day", "2027-01-13T23:00Z", "2027-01-14T23:00Z"),
        # Weeks begin on Monday: the 11th.
        (BERLIN, "2027-01-15T08:00Z", "week", "2027-01-10T23:00Z", "2027-01-17T23:00Z"),
        ("UTC", "2027-01-17T23:59Z", "week", "2027-01-11T00:00Z", "2027-01-18T00:00Z"),
        # The end of a year: the week goes on, the month does not.
        ("UTC", "2026-12-31T23:59:59.999Z", "month", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("UTC", "2027-01-01T00:00Z", "month", "2027-01-01T00:00Z", "2027-02-01T00:00Z"),
        ("UTC", "2027-01-01T00:00Z", "week", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        ("Pacific/Kiritimati", "2026-12-31T10:00Z", "month", "2026-12-31T10:00Z", "2027-01-31T10:00Z"),
        # A leap day.
        ("UTC", "2028-02-29T12:00Z", "day", "2028-02-29T00:00Z", "2028-03-01T00:00Z"),
        ("UTC", "2028-02-29T12:00Z", "month", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("UTC", "2027-02-28T12:00Z", "day", "2027-02-28T00:00Z", "2027-03-01T00:00Z"),
        # A day of 23 hours and one of 25, in both hemispheres.
        (BERLIN, "2027-03-28T12:00Z", "day", "2027-03-27T23:00Z", "2027-03-28T22:00Z"),
        (BERLIN, "2027-10-31T12:00Z", "day", "2027-10-30T22:00Z", "2027-10-31T23:00Z"),
        (NEW_YORK, "2027-03-14T12:00Z", "day", "2027-03-14T05:00Z", "2027-03-15T04:00Z"),
        (NEW_YORK, "2027-11-07T12:00Z", "day", "2027-11-07T04:00Z", "2027-11-08T05:00Z"),
        # Lord Howe goes forward and back by half an hour.
        (LORD_HOWE, "2027-10-03T00:00Z", "day", "2027-10-02T13:30Z", "2027-10-03T13:00Z"),
        (LORD_HOWE, "2027-04-04T00:00Z", "day", "2027-04-03T13:00Z", "2027-04-04T13:30Z"),
        # An hour that clocks skip: after 01:59 it is 03:00.
        (BERLIN, "2027-03-28T00:59:59.999Z", "hour", "2027-03-28T00:00Z", "2027-03-28T01:00Z"),
        (BERLIN, "2027-03-28T01:00Z", "hour", "2027-03-28T01:00Z", "2027-03-28T02:00Z"),
        # After 01:59 it is 02:30: the hour of two has half an hour.
        (LORD_HOWE, "2027-10-02T15:45Z", "hour", "2027-10-02T15:30Z", "2027-10-02T16:00Z"),
        # An hour that clocks show twice is one: two hours in Berlin, an hour and a half on Lord Howe.
        (BERLIN, "2027-10-31T00:30Z", "hour", "2027-10-31T00:00Z", "2027-10-31T02:00Z"),
        (BERLIN, "2027-10-31T01:30Z", "hour", "2027-10-31T00:00Z", "2027-10-31T02:00Z"),
        (LORD_HOWE, "2027-04-03T15:15Z", "hour", "2027-04-03T14:00Z", "2027-04-03T15:30Z"),
        # A midnight that does not exist: the day begins at one.
        ("Africa/Cairo", "2027-04-30T06:00Z", "day", "2027-04-29T22:00Z", "2027-04-30T21:00Z"),
        ("America/Sao_Paulo", "2018-11-04T12:00Z", "day", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
        # A midnight jumped over from half past eleven to half past twelve.
        ("America/Toronto", "1919-03-31T12:00Z", "day", "1919-03-31T04:30Z", "1919-04-01T04:00Z"),
        # A day that does not exist: Samoa went from the 29th to the 31st.
        ("Pacific/Apia", "2011-12-31T00:00Z", "day", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
        ("Pacific/Apia", "2011-12-29T20:00Z", "day", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        # Offsets that are no whole hours.
        ("Asia/Kathmandu", "2027-01-15T18:15Z", "day", "2027-01-15T18:15Z", "2027-01-16T18:15Z"),
        ("Asia/Kathmandu", "2027-01-15T18:14:59.999Z", "day", "2027-01-14T18:15Z", "2027-01-15T18:15Z"),
    ],
)  # fmt: skip
def test_a_period_begins_when_the_customers_clock_says(
    zone: str, now: str, unit: str, began: str, ends: str
) -> None:
    clock = LocalClock(ms(now), zone)
    assert clock.began_ms(unit) == ms(began)  # type: ignore[arg-type]
    assert clock.ends_ms(unit) == ms(ends)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("Europe/Berlin", "Asia/Tokyo"), "Europe/Berlin"),
        ((None, "Asia/Tokyo"), "Asia/Tokyo"),
        (("Nowhere/Else", "Asia/Tokyo"), "Asia/Tokyo"),
        (("../zones", "europe/berlin", "Europe", "/etc/localtime", "", "\0"), "UTC"),
        ((), "UTC"),
    ],
)
def test_a_name_that_is_no_zone_lets_the_next_one_hold(names: tuple[str | None, ...], wanted: str) -> None:
    assert first_zone(*names).key == wanted


def test_every_zone_of_the_database_is_read() -> None:
    assert {"UTC", BERLIN, NEW_YORK, LORD_HOWE} <= zone_names()
    for name in sorted(zone_names()):
        found = find_zone(name)
        assert found is not None
        assert found.key == name
        clock = LocalClock(ms("2027-10-31T01:30Z"), name)
        assert clock.began_ms("month") <= clock.began_ms("day") <= clock.began_ms("hour") <= clock.now_ms
        assert clock.now_ms < clock.ends_ms("hour") <= clock.ends_ms("day") <= clock.ends_ms("month")
