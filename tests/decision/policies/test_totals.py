"""Totals of contacts that the log no longer keeps one by one: exact where they can be, never too few."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.contacts.totals import ANY
from app.decision.decide import CustomerView, PlacementRequest
from app.decision.state import Contact, ContactTotal
from tests.decision.building import NOW_MS, contact, creatives, decided, policy, shop, verdict

HOUR, DAY = 3_600_000, 86_400_000


def total(first_age_ms: int, last_age_ms: int, count: int, offer: str = "card") -> ContactTotal:
    """So many contacts of an offer by mail between two ages."""
    category = "cards" if offer == "card" else "loans"
    first_ms, last_ms = NOW_MS - first_age_ms, NOW_MS - last_age_ms
    return ContactTotal(first_ms, last_ms, count, offer, f"{offer}-mail", "mail", category)


def numbers(kind: str, config: dict[str, Any], *totals: ContactTotal, contacts: Any = ()) -> dict[str, Any]:
    """What a policy on the card compares when it blocks; empty when it does not."""
    catalogue = shop(contact_policies=[policy(kind, config, ("offer", "card"))])
    customer = CustomerView("ann", totals=totals, contacts=contacts)
    result = decided(catalogue, customer, channel_id="mail")
    blocked = verdict(result, "card-mail")
    assert ("card-mail" in creatives(result)) is (blocked.verdict == "chosen")
    return blocked.numbers if blocked.verdict == "removed" else {}


@pytest.mark.parametrize(
    ("first_age", "last_age", "wanted"),
    [
        # Inside, from edge to edge: exact.
        (DAY - 1, 0, {"count": 5, "max": 3, "windowMs": DAY}),
        # The first contact is exactly one window old: which others are, nobody knows. All count.
        (DAY, DAY - 1, {"count": 5, "max": 3, "windowMs": DAY, "inexact": True}),
        (2 * DAY, 1, {"count": 5, "max": 3, "windowMs": DAY, "inexact": True}),
        # The last contact is exactly one window old: none counts.
        (2 * DAY, DAY, {}),
    ],
)
def test_a_total_at_the_edge_of_a_window_counts_whole(
    first_age: int, last_age: int, wanted: dict[str, Any]
) -> None:
    assert numbers("frequency_cap", {"perDay": 3}, total(first_age, last_age, 5)) == wanted


@pytest.mark.parametrize(
    ("kind", "config", "key"),
    [
        ("frequency_cap", {"max": 6, "windowMs": DAY}, "count"),
        ("customer_total_cap", {"max": 6, "windowMs": DAY}, "count"),
        ("cross_channel_cap", {"max": 6, "windowMs": DAY}, "count"),
        ("category_suppression", {"windowMs": DAY}, "count"),
    ],
)
def test_every_kind_that_counts_adds_totals_to_contacts(kind: str, config: dict[str, Any], key: str) -> None:
    found = numbers(kind, config, total(HOUR, 1, 5), contacts=[contact(2)])
    assert found[key] == 6
    assert "inexact" not in found
    found = numbers(kind, config, total(2 * DAY, 1, 5), contacts=[contact(2)])
    assert (found[key], found["inexact"]) == (6, True)
    assert numbers(kind, config, total(2 * DAY, DAY, 5), contacts=[contact(DAY)]) == {}


def test_a_cooldown_knows_the_last_contact_of_a_total_exactly() -> None:
    cooldown = {"cooldownMs": HOUR}
    assert numbers("cooldown", cooldown, total(DAY, HOUR - 1, 9)) == {"ageMs": HOUR - 1, "cooldownMs": HOUR}
    assert numbers("cooldown", cooldown, total(DAY, HOUR, 9)) == {}


def test_an_exclusion_knows_the_last_contact_of_a_total_exactly() -> None:
    pair = {"offerIds": ["card", "car"], "windowMs": HOUR}
    found = numbers("mutual_exclusion", pair, total(DAY, HOUR - 1, 9, "car"))
    assert found == {"excludedBy": "car", "ageMs": HOUR - 1, "windowMs": HOUR}
    assert numbers("mutual_exclusion", pair, total(DAY, HOUR, 9, "car")) == {}


def test_a_cap_for_ever_counts_every_total() -> None:
    old = [total(800 * DAY, 700 * DAY, 2), total(500 * DAY, 450 * DAY, 2)]
    assert numbers("frequency_cap", {"total": 5}, *old) == {}
    assert numbers("frequency_cap", {"total": 4}, *old) == {"count": 4, "max": 4, "windowMs": None}


def test_totals_count_in_their_scopes_only() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"total": 3, "channels": ["site"]})])
    site = ContactTotal(NOW_MS - 9, NOW_MS - 5, 3, "card", "card-site", "site", "cards")
    for totals, shown in (([total(9, 5, 3)], 2), ([site], 0)):
        result = decided(catalogue, CustomerView("ann", totals=totals), channel_id="site")
        assert len(creatives(result)) == shown
    contacts = [Contact(NOW_MS, "card", "card-site", "site", "cards")]
    result = decided(
        catalogue, CustomerView("ann", contacts=contacts, totals=[total(9, 5, 3)]), channel_id="site"
    )
    assert len(creatives(result)) == 2


ANYTHING = ContactTotal(NOW_MS - 9, NOW_MS - 5, 3, ANY, ANY, ANY, ANY, ANY)


@pytest.mark.parametrize(
    ("kind", "config", "scope"),
    [
        ("frequency_cap", {"perDay": 3}, ()),
        ("frequency_cap", {"perDay": 3}, ("offer", "card")),
        ("frequency_cap", {"perDay": 3}, ("creative", "card-site")),
        ("frequency_cap", {"perDay": 3}, ("channel", "site")),
        ("frequency_cap", {"perDay": 3}, ("category", "cards")),
        ("frequency_cap", {"perDay": 3, "channels": ["site"]}, ()),
        ("frequency_cap", {"perDay": 3}, ("placement", "hero")),
        ("cooldown", {"cooldownMs": 6}, ("offer", "card")),
        ("cross_channel_cap", {"max": 3, "windowMs": 3_600_000}, ()),
        ("customer_total_cap", {"max": 3, "windowMs": 3_600_000}, ()),
        ("category_suppression", {"windowMs": 3_600_000}, ("category", "cards")),
        ("mutual_exclusion", {"offerIds": ["card", "car"], "windowMs": 3_600_000}, ()),
    ],
)
def test_a_total_of_anything_counts_everywhere(kind: str, config: dict[str, Any], scope: Any) -> None:
    """Ids that are no longer known may have been any: never too few."""
    catalogue = shop(contact_policies=[policy(kind, config, *([scope] if scope else []))])
    customer = CustomerView("ann", totals=[ANYTHING])
    result = decided(catalogue, customer, placements=(PlacementRequest("hero", 1),))
    assert "card-site" not in [one.creative_id for one in result.decisions]
    before = decided(catalogue, CustomerView("ann"), placements=(PlacementRequest("hero", 1),))
    assert [one.creative_id for one in before.decisions] == ["card-site"]
