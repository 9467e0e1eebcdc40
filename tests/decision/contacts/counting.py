"""Counting contacts the slow way: what the log and totals say, and what a customer's whole history says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.decision.contacts.appending import add_contact
from app.decision.contacts.totals import ANY
from app.decision.state import CONTACT_WINDOW_MS, Contact, ContactTotal, Customer

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
FIELDS = ("offer_id", "creative_id", "channel_id", "category_id", "placement_id")

#: What a scope is about: a contact's field and the id there; nothing means everything.
Where = Mapping[str, str | None]


def contact(at_ms: int, what: int = 0, placement: str | None = None) -> Contact:
    """A contact with one of many things; neighbouring numbers share channel and category."""
    return Contact(at_ms, f"o{what}", f"c{what}", f"ch{what % 2}", f"cat{what % 3}", placement)


def folded(history: Iterable[Contact], now_ms: int = NOW_MS) -> Customer:
    """A customer to whom all this happened, in this fold order."""
    customer = Customer("t", "c")
    for one in history:
        add_contact(customer, one, now_ms)
    return customer


def counted(customer: Customer, where: Where, after_ms: int | None) -> int:
    """The contacts that a reader counts there in the window that begins after an instant; None: for ever."""
    contacts = sum(_within(one.at_ms, after_ms) and _there(one, where) for one in customer.contacts)
    totals = [one for one in customer.totals if _within(one.last_ms, after_ms) and _there(one, where)]
    return contacts + sum(one.count for one in totals)


def happened(history: Iterable[Contact], where: Where, after_ms: int | None) -> int:
    """The contacts that there were."""
    return sum(_within(one.at_ms, after_ms) and _there(one, where) for one in history)


def cut(customer: Customer, after_ms: int) -> bool:
    """Whether a window that begins after this instant begins inside a total."""
    return any(one.first_ms <= after_ms < one.last_ms for one in customer.totals)


def widest(customer: Customer) -> int:
    """Milliseconds from first to last of the longest total that a window of 400 days may reach."""
    recent = [one for one in customer.totals if one.last_ms > NOW_MS - CONTACT_WINDOW_MS]
    return max((one.last_ms - one.first_ms for one in recent), default=0)


def _within(at_ms: int, after_ms: int | None) -> bool:
    return after_ms is None or at_ms > after_ms


def _there(one: Contact | ContactTotal, where: Where) -> bool:
    return all(getattr(one, field) in (wanted, ANY) for field, wanted in where.items())
