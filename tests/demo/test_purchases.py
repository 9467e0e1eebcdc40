"""The sample's purchases: all of them, their totals, their dates brought up to now."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta

import pytest

from app.demo.purchases import event_of, parse_purchases, sample_purchases, shifted


def test_the_sample_is_whole() -> None:
    purchases = sample_purchases()
    assert len(purchases) == 6_919
    assert len({purchase.customer_id for purchase in purchases}) == 2_357
    assert sum(purchase.cds for purchase in purchases) == 16_479
    assert round(sum(purchase.amount for purchase in purchases), 2) == 244_091.94
    assert [purchase.line for purchase in purchases] == list(range(1, 6_920))


def test_repeated_lines_are_purchases_of_their_own() -> None:
    seen = Counter((p.customer_id, p.day, p.cds, p.amount) for p in sample_purchases())
    assert sum(count - 1 for count in seen.values()) == 21


@pytest.mark.parametrize("today", [date(2026, 11, 21), date(2028, 2, 29), date(2028, 3, 1), date(2100, 1, 1)])
def test_the_last_purchase_was_yesterday_and_intervals_are_kept(today: date) -> None:
    before = sample_purchases()
    after = shifted(before, today)
    assert max(purchase.day for purchase in after) == today - timedelta(days=1)
    assert {new.day - old.day for old, new in zip(before, after, strict=True)} == {
        today - timedelta(days=1) - date(1998, 6, 30)
    }


def test_a_purchase_as_an_event() -> None:
    (purchase,) = parse_purchases([" 00004 0001 19970101  2   29.33", ""])
    assert json.loads(event_of(purchase, "demo")) == {
        "tenantId": "demo",
        "customerId": "1",
        "type": "purchase",
        "eventId": "1",
        "timestamp": "1997-01-01T12:00:00Z",
        "data": {"cds": 2, "amount": 29.33},
    }


@pytest.mark.parametrize(
    "line", ["1 2 3", "a b c d e", "00004 0001 19971301 2 29.33", "00004 0001 19970101 2 x"]
)
def test_a_broken_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        parse_purchases([line])
