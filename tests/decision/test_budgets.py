"""What a budget allows, and which day a delivery belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.decision.budgets import TOTAL, Allowance, allowance, day_of
from app.decision.catalogue import compile_tenant
from app.decision.entities import Offer
from app.decision.policies import bounds
from app.decision.validation import load_entity


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        ({}, None),
        ({"spendPerDelivery": 2}, None),
        ({"maxPerDay": 5}, Allowance(5, None)),
        ({"maxTotal": 0}, Allowance(None, 0)),
        ({"spendPerDelivery": 1e-9, "maxSpendTotal": 1e15}, Allowance(None, 2**53)),
        ({"spendPerDelivery": 5e-324, "maxSpendPerDay": 1e15}, Allowance(2**53, None)),
        ({"maxPerDay": 5, "maxTotal": 7}, Allowance(5, 7)),
        ({"maxTotal": 5, "spendPerDelivery": 0.1, "maxSpendTotal": 0.3}, Allowance(None, 3)),
        ({"maxTotal": 2, "spendPerDelivery": 0.1, "maxSpendTotal": 0.3}, Allowance(None, 2)),
        ({"spendPerDelivery": 0.3, "maxSpendPerDay": 1, "maxPerDay": 9}, Allowance(3, None)),
        ({"spendPerDelivery": 3, "maxSpendTotal": 2.99}, Allowance(None, 0)),
        ({"spendPerDelivery": 0, "maxSpendTotal": 5}, None),
    ],
)
def test_the_least_limit_holds(budget: dict[str, Any], allowed: Allowance | None) -> None:
    offer = load_entity("offers", {"id": "o", "name": "O", "categoryId": "c", "budget": budget})
    assert isinstance(offer, Offer), offer
    assert allowance(offer.budget) == allowed
    assert bounds(offer.budget) is (allowed is not None), "a decision asks for the same budgets"


@pytest.mark.parametrize("status", ["active", "paused", "draft", "archived"])
def test_what_is_not_active_shares_nothing_out_and_counts_on(status: str) -> None:
    body = {"id": "o", "name": "O", "categoryId": "c", "status": status, "budget": {"maxTotal": 5}}
    offer = load_entity("offers", body)
    free = load_entity("offers", {"id": "free", "name": "F", "categoryId": "c", "budget": {}})
    assert isinstance(offer, Offer), offer
    assert isinstance(free, Offer), free
    tenant = compile_tenant("shop", {("offers", "o"): offer, ("offers", "free"): free})
    assert dict(tenant.budgets) == ({"offer/o": Allowance(None, 5)} if status == "active" else {})
    assert tenant.budgeted == {"offer/o"}


@pytest.mark.parametrize(
    ("allowed", "periods"),
    [
        (Allowance(5, None), ("2026-11-21",)),
        (Allowance(None, 5), (TOTAL,)),
        (Allowance(1, 2), (TOTAL, "2026-11-21")),
    ],
)
def test_periods_are_those_that_are_bounded(allowed: Allowance, periods: tuple[str, ...]) -> None:
    assert allowed.periods("2026-11-21") == periods


@pytest.mark.parametrize(
    ("zone", "instant", "name", "ends"),
    [
        ("UTC", "2026-11-21T13:00", "2026-11-21", "2026-11-22T00:00"),
        ("nowhere/at-all", "2026-11-21T13:00", "2026-11-21", "2026-11-22T00:00"),
        ("Europe/Berlin", "2026-11-20T23:00", "2026-11-21", "2026-11-21T23:00"),
        ("Europe/Berlin", "2026-11-20T22:59", "2026-11-20", "2026-11-20T23:00"),
        # 23 and 25 hours.
        ("Europe/Berlin", "2026-03-29T12:00", "2026-03-29", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25T12:00", "2026-10-25", "2026-10-25T23:00"),
        ("Asia/Kathmandu", "2026-11-20T18:15", "2026-11-21", "2026-11-21T18:15"),
        # No midnight: the next day begins at one.
        ("Africa/Cairo", "2026-04-23T10:00", "2026-04-23", "2026-04-23T22:00"),
    ],
)
def test_a_day_is_the_zones(zone: str, instant: str, name: str, ends: str) -> None:
    day = day_of(zone, at(instant))
    assert (day.name, day.ends_ms) == (name, at(ends))


@pytest.mark.parametrize("at_ms", [-(2**62), -1, 0, 2**53, 2**62])
def test_any_instant_has_a_day(at_ms: int) -> None:
    assert len(day_of("Pacific/Kiritimati", at_ms).name) == 10
