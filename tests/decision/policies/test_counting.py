"""The counts of contact policies, as they are shown."""

from __future__ import annotations

from typing import Any

from app.decision.catalogue import TenantCatalogue
from app.decision.decision import CustomerView
from app.decision.policies.counting import COUNTS_MAX, PolicyCounts
from app.decision.policies.zones import LocalClock
from app.decision.state import Contact, ContactTotal
from tests.decision.building import NOW_MS, shop

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def policy(policy_id: str, kind: str, scopes: Any = (), **fields: Any) -> dict[str, Any]:
    return {"id": policy_id, "name": policy_id, "kind": kind, "scopes": list(scopes), **fields}


def contact(age_ms: int, offer: str = "card", category: str = "cards") -> Contact:
    return Contact(NOW_MS - age_ms, offer, f"{offer}-site", "site", category)


def counted(tenant: TenantCatalogue, *contacts: Contact, totals: Any = ()) -> list[PolicyCounts]:
    view = CustomerView("ann", contacts=contacts, totals=totals)
    return tenant.counting.counts(view, LocalClock(NOW_MS, "Europe/Rome"))


def rows(found: PolicyCounts) -> list[tuple[str, str | None, int, int | None]]:
    return [(one.scope, one.entity_id, one.count, one.max) for one in found.counts]


def test_a_cap_counts_in_each_scope_and_window() -> None:
    scopes = [{"scope": "offer", "id": "card"}, {"scope": "offer", "id": "house"}]
    tenant = shop(
        contact_policies=[
            policy("p", "frequency_cap", scopes, config={"perHour": 2, "perDay": 5, "total": 9})
        ]
    )
    (found,) = counted(tenant, contact(1), contact(HOUR_MS), contact(DAY_MS))
    assert rows(found) == [
        ("offer", "card", 1, 2),
        ("offer", "card", 2, 5),
        ("offer", "card", 3, 9),
        ("offer", "house", 0, 2),
        ("offer", "house", 0, 5),
        ("offer", "house", 0, 9),
    ]
    assert [one.window_ms for one in found.counts[:3]] == [HOUR_MS, DAY_MS, None]


def test_a_total_over_the_customer_counts_whatever_its_scope() -> None:
    on_house = [{"scope": "offer", "id": "house"}]
    config = {"max": 3, "windowMs": DAY_MS}
    tenant = shop(contact_policies=[policy("p", "customer_total_cap", on_house, config=config)])
    (found,) = counted(tenant, contact(1), contact(2))
    assert rows(found) == [("offer", "house", 2, 3)]


def test_policies_come_by_priority_and_only_active_ones_that_count() -> None:
    tenant = shop(
        contact_policies=[
            policy("a", "cooldown", config={"cooldownMs": HOUR_MS}),
            policy("b", "customer_total_cap", priority=90, config={"max": 3, "windowMs": DAY_MS}),
            policy("c", "cooldown", status="archived", config={"cooldownMs": HOUR_MS}),
            policy("d", "outcome_based", config={"outcomes": ["dismiss"], "lookbackMs": DAY_MS}),
            policy("e", "mutual_exclusion", config={"offerIds": ["card", "house"]}),
        ]
    )
    first, second = counted(tenant, contact(2 * HOUR_MS))
    assert (first.policy_id, rows(first)) == ("b", [("global", None, 1, 3)])
    assert (second.policy_id, rows(second)) == ("a", [("global", None, 0, 1)])
    assert second.counts[0].age_ms == 2 * HOUR_MS


def test_what_counts_by_offer_or_category_says_those_contacted_about() -> None:
    in_loans = [{"scope": "category", "id": "loans"}]
    tenant = shop(
        contact_policies=[
            policy("a", "cross_channel_cap", config={"max": 4, "windowMs": DAY_MS}),
            policy("b", "category_suppression", config={"windowMs": DAY_MS}),
            policy("c", "category_suppression", in_loans, config={"windowMs": DAY_MS}),
            policy("d", "mutual_exclusion", config={"offerIds": ["card", "house"], "windowMs": DAY_MS}),
        ]
    )
    found = counted(tenant, contact(1), contact(2), contact(DAY_MS, "house", "loans"))
    assert [rows(one) for one in found] == [
        [("offer", "card", 2, 4)],
        [("category", "cards", 2, 1)],
        [("category", "loans", 0, 1)],
        [("offer", "card", 2, None)],
    ]


def test_a_calendar_window_says_from_when_to_when() -> None:
    tenant = shop(contact_policies=[policy("p", "frequency_cap", calendar=True, config={"perDay": 1})])
    (found,) = counted(tenant, contact(1))
    (one,) = found.counts
    assert (one.count, one.calendar, one.time_zone, one.window_ms) == (1, "day", "Europe/Rome", None)
    assert one.from_ is not None
    assert one.to is not None


def test_a_total_that_a_window_begins_in_is_inexact() -> None:
    tenant = shop(contact_policies=[policy("p", "cooldown", config={"cooldownMs": HOUR_MS})])
    total = ContactTotal(NOW_MS - 2 * HOUR_MS, NOW_MS - 1, 7, "card", "card-site", "site", "cards")
    (found,) = counted(tenant, totals=[total])
    assert (found.counts[0].count, found.counts[0].inexact) == (7, True)


def test_past_50_counts_the_highest_are_shown() -> None:
    tenant = shop(contact_policies=[policy("p", "cross_channel_cap", config={"max": 4, "windowMs": DAY_MS})])
    contacts = [contact(1, f"o{n}") for n in range(60)] + [contact(2, "o59")]
    (found,) = counted(tenant, *contacts)
    assert (len(found.counts), found.counts_left_out) == (COUNTS_MAX, 11 - 1)
    assert rows(found)[0] == ("offer", "o59", 2, 4)
