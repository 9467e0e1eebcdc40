"""Deciding under every kind of contact policy never fails for what is known of a customer."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.decide import CustomerView
from app.decision.shared import Shared
from app.decision.state import Contact, ContactTotal, Profile, Suppression
from tests.decision.building import NOW_MS, decided, policy, shop
from tests.decision.policies.test_budgets import Rooms
from tests.decision.policies.test_configs import CONFIGS

DAY: dict[str, Any] = {"windowMs": 86_400_000}
BY_CALENDAR: dict[str, dict[str, Any]] = {
    "frequency_cap": {"perHour": 1, "perDay": 3, "perWeek": 4, "perMonth": 5, "total": 9},
    "cross_channel_cap": {"max": 2, **DAY},
    "customer_total_cap": {"max": 3, **DAY},
    "category_suppression": DAY,
    "mutual_exclusion": {"offerIds": ["card", "car"], **DAY},
}
SOME: dict[str, dict[str, Any]] = {
    **CONFIGS,
    "frequency_cap": {"perDay": 3, "channels": ["mail"]},
    "outcome_based": {"outcomes": ["click"], "lookbackMs": 1},
    "segment_exclusion": {"segmentIds": ["old"]},
    "mutual_exclusion": {"offerIds": ["card", "house"], "windowMs": 500},
    "metric_condition": {"metric": "m", "operator": "gt", "value": 1},
    "allow_override": {"when": {"field": "customer.x", "operator": "exists"}},
}
CATALOGUE = shop(
    segments=[{"id": "old", "name": "Old", "filter": {"field": "customer.x", "operator": "gt", "value": 1}}],
    behavioral_metrics=[
        {"id": "m", "key": "m", "aggregate": "count", "eventTypes": ["page"], "windowMs": 60_000}
    ],
    contact_policies=[
        *[
            {**policy(kind, config, ("category", "loans"), ("segment", "old")), "id": f"{kind}-rolling"}
            for kind, config in SOME.items()
        ],
        *[
            {**policy(kind, config, calendar=True), "id": f"{kind}-calendar"}
            for kind, config in BY_CALENDAR.items()
        ],
    ],
    offers=[{"id": "car", "name": "Car", "categoryId": "loans", "budget": {"maxTotal": 3}}],
)
IDS = st.sampled_from(["card", "house", "car", "card-mail", "mail", "site", "loans", "home", "hero", "", "?"])
INSTANTS = st.integers(-(2**62), 2**62) | st.integers(NOW_MS - 10**8, NOW_MS + 10**8)
TOTALS = st.builds(
    ContactTotal, INSTANTS, INSTANTS, st.integers(0, 2**40), IDS, IDS, IDS, IDS, st.none() | IDS
)
SUPPRESSIONS = st.builds(
    Suppression,
    IDS,
    st.sampled_from([f"{kind}-rolling" for kind in SOME] + ["gone"]),
    st.sampled_from(["global", "category", "segment", "offer", "?"]),
    IDS | st.just("old"),
    IDS,
    INSTANTS,
    INSTANTS,
)
ZONES = (
    st.none() | st.sampled_from(["Europe/Berlin", "Pacific/Apia", "utc", "../etc", ""]) | st.text(max_size=9)
)


@settings(max_examples=300)
@given(
    contacts=st.lists(st.builds(Contact, INSTANTS, IDS, IDS, IDS, IDS, st.none() | IDS), max_size=6),
    totals=st.lists(TOTALS, max_size=4),
    suppressions=st.lists(SUPPRESSIONS, max_size=4),
    zone=ZONES,
    x=st.none() | st.integers(),
    room=st.integers(-1, 3),
    limit=st.integers(1, 50),
)
def test_any_customer_gets_a_decision_that_accounts_for_every_candidate(
    contacts: list[Contact],
    totals: list[ContactTotal],
    suppressions: list[Suppression],
    zone: str | None,
    x: int | None,
    room: int,
    limit: int,
) -> None:
    profile = Profile({} if x is None else {"x": x}, time_zone=zone)
    customer = CustomerView("ann", profile, contacts=contacts, totals=totals, suppressions=suppressions)
    shared = Shared(budgets=Rooms(offer__car=room))
    result = decided(CATALOGUE, customer, shared=shared, limit=limit)
    assert result.total_candidates == 5
    assert len(result.decisions) + sum(result.removals.values()) == 5 or len(result.decisions) == limit
