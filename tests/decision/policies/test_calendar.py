"""Windows by calendar: what counts since the customer's day, week or month began, to the millisecond."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.state import Contact, Profile
from tests.decision.building import creatives, decided, policy, shop, verdict
from tests.decision.policies.test_zones import BERLIN, LORD_HOWE, NEW_YORK, ms

HOUR, DAY = 3_600_000, 86_400_000
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("frequency_cap", {"max": 1}),
    ("customer_total_cap", {"max": 1}),
    ("cross_channel_cap", {"max": 1}),
    ("category_suppression", {}),
    ("mutual_exclusion", {"offerIds": ["card", "house"]}),
]


@pytest.mark.parametrize(("kind", "config"), KINDS)
@pytest.mark.parametrize(
    ("zone", "now", "length_ms", "unit", "began", "ends"),
    [
        (BERLIN, "2027-03-28T12:00Z", DAY, "day", "2027-03-28T00:00:00.000+01:00",
         "2027-03-29T00:00:00.000+02:00"),
        (BERLIN, "2027-10-31T12:00Z", DAY, "day", "2027-10-31T00:00:00.000+02:00",
         "2027-11-01T00:00:00.000+01:00"),
        (NEW_YORK, "2027-11-07T12:00Z", 7 * DAY, "week", "2027-11-01T00:00:00.000-04:00",
         "2027-11-08T00:00:00.000-05:00"),
        (LORD_HOWE, "2027-04-03T15:15Z", HOUR, "hour", "2027-04-04T01:00:00.000+11:00",
         "2027-04-04T02:00:00.000+10:30"),
        ("UTC", "2028-02-29T12:00Z", 30 * DAY, "month", "2028-02-01T00:00:00.000+00:00",
         "2028-03-01T00:00:00.000+00:00"),
    ],
)  # fmt: skip
def test_a_contact_counts_from_the_first_millisecond_of_the_period(
    kind: str, config: dict[str, Any], zone: str, now: str, length_ms: int, unit: str,
    began: str, ends: str,
) -> None:  # fmt: skip
    document = policy(kind, {**config, "windowMs": length_ms}, ("offer", "card"), calendar=True)
    catalogue = shop(contact_policies=[document])
    offer = "house" if kind == "mutual_exclusion" else "card"
    category = "loans" if kind == "mutual_exclusion" else "cards"
    for by_ms, shown in ((-1, True), (0, False), (1, False)):
        contact = Contact(ms(began) + by_ms, offer, f"{offer}-mail", "mail", category)
        customer = CustomerView("ann", Profile(time_zone=zone), contacts=[contact])
        result = decided(catalogue, customer, ms(now), channel_id="mail")
        assert ("card-mail" in creatives(result)) is shown, by_ms
    numbers = verdict(result, "card-mail").numbers
    assert (numbers["calendar"], numbers["timeZone"]) == (unit, zone)
    assert (numbers["from"], numbers["to"]) == (began, ends)


@pytest.mark.parametrize(
    ("name", "unit_began"),
    [("perHour", "2027-01-15T09:00+01:00"), ("perDay", "2027-01-15T00:00+01:00"),
     ("perWeek", "2027-01-11T00:00+01:00"), ("perMonth", "2027-01-01T00:00+01:00")],
)  # fmt: skip
def test_each_window_of_a_frequency_cap_has_its_period(name: str, unit_began: str) -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {name: 1}, calendar=True)])
    for by_ms, wanted in ((-1, ["card-mail"]), (0, [])):
        contact = Contact(ms(unit_began) + by_ms, "car", "car-mail", "mail", "loans")
        customer = CustomerView("ann", Profile(time_zone=BERLIN), contacts=[contact])
        result = decided(catalogue, customer, ms("2027-01-15T09:30+01:00"), channel_id="mail", limit=1)
        assert creatives(result) == wanted


@pytest.mark.parametrize(
    ("profile", "tenant", "counts_since"),
    [
        (Profile(time_zone="Asia/Tokyo"), BERLIN, "2027-01-15T00:00+09:00"),
        (Profile(time_zone="Asia/Atlantis"), BERLIN, "2027-01-15T00:00+01:00"),
        (Profile(), BERLIN, "2027-01-15T00:00+01:00"),
        (None, BERLIN, "2027-01-15T00:00+01:00"),
        (None, None, "2027-01-15T00:00+00:00"),
    ],
)
def test_the_zone_is_the_customers_else_the_tenants_else_utc(
    profile: Profile | None, tenant: str | None, counts_since: str
) -> None:
    settings = [] if tenant is None else [{"id": "own", "timeZone": tenant}]
    cap = policy("frequency_cap", {"perDay": 1}, calendar=True)
    catalogue = shop(contact_policies=[cap], tenant_settings=settings)
    for by_ms, wanted in ((-1, ["card-mail"]), (0, [])):
        contact = Contact(ms(counts_since) + by_ms, "car", "car-mail", "mail", "loans")
        customer = CustomerView("ann", profile, contacts=[contact])
        result = decided(catalogue, customer, ms("2027-01-15T09:30Z"), channel_id="mail", limit=1)
        assert creatives(result) == wanted


def test_a_cap_may_count_by_calendar_and_for_ever() -> None:
    cap = policy("frequency_cap", {"perDay": 2, "total": 3}, calendar=True)
    catalogue = shop(contact_policies=[cap])
    old = [Contact(ms("2026-06-01T00:00Z") + i, "car", "car-mail", "mail", "loans") for i in range(3)]
    result = decided(catalogue, CustomerView("ann", contacts=old), channel_id="mail")
    assert verdict(result, "card-mail").numbers == {"count": 3, "max": 3, "windowMs": None}
    result = decided(catalogue, CustomerView("ann", contacts=old[:2]), channel_id="mail")
    assert len(creatives(result)) == 1
