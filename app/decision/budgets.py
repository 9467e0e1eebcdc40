"""Budgets: how many deliveries they allow, and in which period.

Rules of this module:

1.  A budget's limits of deliveries and of spend become one number of deliveries a day and one in total, each
    the least that any limit allows. Money is divided as the decimal number that it was written as.
2.  A period is a calendar day in the tenant's time zone, by its ISO date, or TOTAL for all time. A delivery
    counts in both.
3.  The clocks of a zone may repeat the hour around midnight. Which day an instant belongs to is what the
    zone's calendar shows then.
4.  Only what is active is decided for, so only its budget is shared out. What customers report meanwhile of
    the others counts all the same: an offer that is active again has spent it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

import msgspec

from app.decision.entities import Budget, Creative, Offer
from app.decision.policies.zones import first_zone

#: The period that never ends.
TOTAL = ""

#: A budget allows no more, however little a delivery costs.
DELIVERIES_MAX = 2**53

#: The last instant whose date every zone can show, epoch milliseconds (the end of 9998).
_LAST_MS = 253_370_764_800_000 - 1


#: Days begin at whole quarters of an hour of UTC, in every zone since 1972.
_QUARTER_MS = 900_000


class Allowance(msgspec.Struct, frozen=True):
    """Deliveries that a budget allows a day, and in total; None without a bound."""

    per_day: int | None
    total: int | None

    def limit(self, period: str) -> int | None:
        """The deliveries allowed in a period: TOTAL or a day."""
        return self.total if period == TOTAL else self.per_day

    def periods(self, day: str) -> tuple[str, ...]:
        """The periods it bounds, of TOTAL and this day."""
        return tuple(period for period in (TOTAL, day) if self.limit(period) is not None)


class Day(msgspec.Struct, frozen=True):
    """A calendar day of a zone: its ISO date, and its end, epoch milliseconds."""

    name: str
    ends_ms: int


def allowance(budget: Budget | None) -> Allowance | None:
    """What a budget allows; None when it bounds nothing."""
    if budget is None:
        return None
    price = budget.spend_per_delivery
    per_day = _least(budget.max_per_day, _affordable(budget.max_spend_per_day, price))
    total = _least(budget.max_total, _affordable(budget.max_spend_total, price))
    return None if per_day is None and total is None else Allowance(per_day, total)


def allowances(offers: Iterable[Offer], creatives: Iterable[Creative]) -> Mapping[str, Allowance]:
    """What the budgets of active offers and creatives allow, by `offer/<id>` and `creative/<id>`."""
    found: dict[str, Allowance] = {}
    for kind, entities in (("offer", offers), ("creative", creatives)):
        for entity in entities:
            allowed = allowance(entity.budget) if entity.status == "active" else None
            if allowed is not None:
                found[f"{kind}/{entity.id}"] = allowed
    return found


def budgeted(offers: Iterable[Offer], creatives: Iterable[Creative]) -> frozenset[str]:
    """Whose deliveries count, as `offer/<id>` and `creative/<id>`: all that have a budget, active or not."""
    return frozenset(
        f"{kind}/{entity.id}"
        for kind, entities in (("offer", offers), ("creative", creatives))
        for entity in entities
        if allowance(entity.budget) is not None
    )


def day_of(zone_name: str, at_ms: int) -> Day:
    """The day of an instant, epoch milliseconds, in a zone; an unknown zone is UTC."""
    return _day(zone_name, min(max(at_ms, 0), _LAST_MS) // _QUARTER_MS)


@functools.lru_cache(maxsize=4_096)
def _day(zone_name: str, quarter: int) -> Day:
    zone = first_zone(zone_name)
    shown = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000, zone)
    following = datetime(shown.year, shown.month, shown.day, tzinfo=zone) + timedelta(days=1)
    return Day(shown.date().isoformat(), int(following.timestamp() * 1000))


def _affordable(most: float | None, price: float | None) -> int | None:
    """How many deliveries at this price cost no more than that; None without a bound."""
    if most is None or not price:
        return None
    # As many as `maxTotal` may say: state and records carry 64 bits.
    return min(int((Decimal(str(most)) / Decimal(str(price))).to_integral_value(ROUND_FLOOR)), DELIVERIES_MAX)


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
