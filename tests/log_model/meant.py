"""What records meant as they were produced, and what a customer must be who folded them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.decision.state import Customer


@dataclass(frozen=True)
class Meant:
    """A record as its producer meant it. `identity` is None for one that only its offset identifies."""

    kind: str
    customer: str
    identity: str | None = None
    number: int = 0


@dataclass
class Expected:
    """One customer, as counted here."""

    events: set[str] = field(default_factory=set)
    clicks: set[str] = field(default_factory=set)
    number: int | None = None
    recommendations: list[str] = field(default_factory=list)


@dataclass
class Erased:
    """A customer who is erased now and then, as counted here in the order of the fold."""

    events: int = 0
    number: int | None = None
    erased_ms: int = -1

    def fold(self, meant: Meant, written_ms: int) -> None:
        """Add what a record meant; nothing of before an erasure counts."""
        if meant.kind == "erase":
            self.events, self.number, self.erased_ms = 0, None, max(self.erased_ms, written_ms)
        elif written_ms > self.erased_ms:
            self.events += meant.kind == "event"
            self.number = meant.number if meant.kind == "profile" else self.number


def count(expected: Expected, meant: Meant, origin: str) -> None:
    """Add what a record meant to its customer; `origin` is where it was produced."""
    if meant.kind == "event":
        expected.events.add(meant.identity or origin)
    elif meant.kind == "click":
        expected.clicks.add(meant.identity or origin)
    elif meant.kind == "profile":
        expected.number = meant.number


def found_in(customer: Customer | None) -> tuple[int, int, Any, list[str]]:
    """Events, clicks, the profile's number and recommendation ids that a fold made of a customer."""
    if customer is None:
        return 0, 0, None, []
    counts = [
        int(sum(customer.metrics[key].buckets.values())) if key in customer.metrics else 0
        for key in ("n", "clicks")
    ]
    profile = customer.profile
    number = None if profile is None else profile.attributes["number"]
    return counts[0], counts[1], number, [one.recommendation_id for one in customer.recommendations]
