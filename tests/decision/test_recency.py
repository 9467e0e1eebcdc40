"""The rule kind recency_check: which events count, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.known import Known
from app.decision.offer_values import OfferValues
from app.decision.state import DAY_MS, RecentEvent
from tests.decision.building import NOW_MS, decided, rule, shop

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("events", "event_type", "within_ms", "recent"),
    [
        ([], "purchase", HOUR_MS, False),
        ([("purchase", HOUR_MS - 1)], "purchase", HOUR_MS, True),
        ([("purchase", HOUR_MS)], "purchase", HOUR_MS, False),
        ([("purchase", HOUR_MS + 1)], "purchase", HOUR_MS, False),
        ([("purchase", -5)], "purchase", HOUR_MS, True),
        ([("purchase", 5)], "page", HOUR_MS, False),
        ([("purchase", 2), ("purchase", 2 * HOUR_MS)], "purchase", HOUR_MS, True),
        ([("purchase", 2 * HOUR_MS), ("purchase", 2)], "purchase", HOUR_MS, True),
        ([("outcome.click", 5)], "outcome.click", HOUR_MS, True),
        ([("outcome.convert", 5)], "outcome.conversion", HOUR_MS, True),
        ([("outcome.conversion", 5)], "outcome.convert", HOUR_MS, True),
        ([("page", 30 * DAY_MS - 1)], "page", 30 * DAY_MS, True),
    ],
)
@pytest.mark.parametrize("invert", [False, True])
def test_recency(
    events: list[tuple[str, int]], event_type: str, within_ms: int, recent: bool, invert: bool
) -> None:
    customer = CustomerView("ann", recent=[RecentEvent(NOW_MS - age_ms, name) for name, age_ms in events])
    config = {"eventType": event_type, "withinMs": within_ms, "invert": invert}
    result = decided(shop(qualification_rules=[rule("recency_check", config)]), customer, channel_id="mail")
    assert len(result.decisions) == (3 if recent is not invert else 0)


def test_the_trace_shows_the_age_of_the_last_event() -> None:
    customer = CustomerView(
        "ann", recent=[RecentEvent(NOW_MS - 70, "page"), RecentEvent(NOW_MS - 90, "page")]
    )
    config = {"eventType": "page", "withinMs": 60}
    result = decided(shop(qualification_rules=[rule("recency_check", config)]), customer, channel_id="mail")
    assert result.trace is not None
    numbers = result.trace.stages[2].candidates[0].numbers  # type: ignore[union-attr]
    assert numbers == {"eventType": "page", "ageMs": 70, "withinMs": 60, "invert": False}


def test_recent_events_are_looked_through_once_and_only_when_asked() -> None:
    class Once(list[RecentEvent]):
        looked = 0

        def __iter__(self) -> Any:
            self.looked += 1
            return super().__iter__()

    events = Once([RecentEvent(NOW_MS - 5, "page")])
    known = Known({}, OfferValues({}), lambda _: False, events, lambda _: 0.5, NOW_MS)
    assert events.looked == 0
    assert (known.age_ms("page"), known.age_ms("gone"), events.looked) == (5, None, 1)
