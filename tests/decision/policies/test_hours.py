"""time_window: open and quiet hours by the customer's clock."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.state import Profile
from tests.decision.building import creatives, decided, policy, shop, verdict
from tests.decision.policies.test_zones import BERLIN, LORD_HOWE, NEW_YORK, ms

OFFICE = {"days": ["mon", "Tuesday", 3, 4, 5], "from": "09:00", "to": "17:30"}
NIGHT = {"from": "21:00", "to": "08:00", "invert": True}
FRIDAY_NIGHT = {"days": ["friday"], "from": "22:00", "to": "06:00"}


@pytest.mark.parametrize(
    ("config", "zone", "now", "open_"),
    [
        # 2027-01-15 is a Friday.
        (OFFICE, BERLIN, "2027-01-15T08:59:59.999+01:00", False),
        (OFFICE, BERLIN, "2027-01-15T09:00+01:00", True),
        (OFFICE, BERLIN, "2027-01-15T17:29:59.999+01:00", True),
        (OFFICE, BERLIN, "2027-01-15T17:30+01:00", False),
        (OFFICE, BERLIN, "2027-01-16T12:00+01:00", False),
        # The same instant is Friday in New York and Saturday in Lord Howe.
        (OFFICE, NEW_YORK, "2027-01-15T22:00Z", True),
        (OFFICE, LORD_HOWE, "2027-01-15T22:30Z", False),
        # Quiet hours cross midnight.
        (NIGHT, BERLIN, "2027-01-15T20:59:59.999+01:00", True),
        (NIGHT, BERLIN, "2027-01-15T21:00+01:00", False),
        (NIGHT, BERLIN, "2027-01-16T00:00+01:00", False),
        (NIGHT, BERLIN, "2027-01-16T07:59:59.999+01:00", False),
        (NIGHT, BERLIN, "2027-01-16T08:00+01:00", True),
        # The day is the one on which the window began.
        (FRIDAY_NIGHT, BERLIN, "2027-01-15T05:00+01:00", False),
        (FRIDAY_NIGHT, BERLIN, "2027-01-15T21:59:59.999+01:00", False),
        (FRIDAY_NIGHT, BERLIN, "2027-01-15T22:00+01:00", True),
        (FRIDAY_NIGHT, BERLIN, "2027-01-16T05:59:59.999+01:00", True),
        (FRIDAY_NIGHT, BERLIN, "2027-01-16T06:00+01:00", False),
        (FRIDAY_NIGHT, BERLIN, "2027-01-16T22:00+01:00", False),
        # Sunday's night ends on Monday.
        ({**FRIDAY_NIGHT, "days": [7]}, BERLIN, "2027-01-18T05:00+01:00", True),
        # Days alone, hours alone, a day to its end.
        ({"days": ["sat", "sun"]}, BERLIN, "2027-01-16T00:00+01:00", True),
        ({"days": ["sat", "sun"]}, BERLIN, "2027-01-15T23:59:59.999+01:00", False),
        ({"days": ["sat"], "invert": True}, BERLIN, "2027-01-16T12:00+01:00", False),
        ({"from": "20:00", "to": "24:00"}, BERLIN, "2027-01-16T23:59:59.999+01:00", True),
        ({"from": "20:00", "to": "24:00"}, BERLIN, "2027-01-16T00:00+01:00", False),
        ({"from": "20:00", "to": "00:00"}, BERLIN, "2027-01-16T23:59:59.999+01:00", True),
        ({"from": "20:00", "to": "00:00"}, BERLIN, "2027-01-16T00:00+01:00", False),
        # An hour that clocks skip: at 01:59:59 it is not yet half past two, a moment later it is three.
        ({"from": "02:30", "to": "04:00"}, BERLIN, "2027-03-28T00:59:59.999Z", False),
        ({"from": "02:30", "to": "04:00"}, BERLIN, "2027-03-28T01:00Z", True),
        ({"from": "02:00", "to": "02:30"}, LORD_HOWE, "2027-10-02T15:30Z", False),
        # An hour that clocks show twice is open twice.
        ({"from": "02:00", "to": "02:30"}, BERLIN, "2027-10-31T00:15Z", True),
        ({"from": "02:00", "to": "02:30"}, BERLIN, "2027-10-31T00:45Z", False),
        ({"from": "02:00", "to": "02:30"}, BERLIN, "2027-10-31T01:15Z", True),
        ({"from": "02:00", "to": "02:30"}, BERLIN, "2027-10-31T01:45Z", False),
        ({"from": "01:30", "to": "02:00"}, LORD_HOWE, "2027-04-03T14:45Z", True),
        ({"from": "01:30", "to": "02:00"}, LORD_HOWE, "2027-04-03T15:15Z", True),
        ({"from": "01:30", "to": "02:00"}, LORD_HOWE, "2027-04-03T15:30Z", False),
        # A leap day is a Tuesday, and the year's last night goes on into the next.
        ({"days": ["tue"]}, "UTC", "2028-02-29T12:00Z", True),
        ({"days": ["thu"], "from": "22:00", "to": "02:00"}, "UTC", "2027-01-01T01:00Z", True),
    ],
)  # fmt: skip
def test_hours_go_by_the_customers_clock(config: dict[str, Any], zone: str, now: str, open_: bool) -> None:
    catalogue = shop(contact_policies=[policy("time_window", config, ("offer", "card"))])
    customer = CustomerView("ann", Profile(time_zone=zone))
    result = decided(catalogue, customer, ms(now), channel_id="mail")
    assert creatives(result) == (["card-mail"] if open_ else []) + ["house-mail", "car-mail"]


def test_a_trace_says_what_the_customers_clock_shows() -> None:
    catalogue = shop(contact_policies=[policy("time_window", {**NIGHT, "days": ["fri"]})])
    customer = CustomerView("ann", Profile(time_zone=BERLIN))
    result = decided(catalogue, customer, ms("2027-01-15T22:30Z"), channel_id="mail")
    assert verdict(result, "card-mail").numbers == {
        "localTime": "2027-01-15T23:30:00.000+01:00",
        "timeZone": BERLIN,
        "days": ["friday"],
        "from": "21:00",
        "to": "08:00",
        "invert": True,
    }
