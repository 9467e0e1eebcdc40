"""Reservations: contacts of decisions on explicit channels, counted until they are reported or run out.

Rules:

1.  A decision reserves its contact until an instant. While that lies ahead the reservation counts as a
    contact at the time of the decision; from then on it does not, whether it is still stored or not.
2.  An impression reported for the same recommendation and rank takes the reservation's place. Any other
    outcome leaves it: a click without an impression is no contact, and the reservation runs out.
3.  The impression may be folded before its decision, since order across topics is not in the log. It is
    remembered like an idempotency key (7 days, 1,000), and the decision then reserves nothing for it.
4.  500 are kept. Past it those that end soonest become contacts for good, now: none is dropped while it
    counts. An impression reported for such a one counts again: too many, never too few.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.decision.contacts.appending import add_contact
from app.decision.idempotency import remember, seen_entry
from app.decision.ids import stable_hash
from app.decision.state import RESERVED_MAX, Contact, Customer, Reserved, Seen


def reserve(customer: Customer, reservations: Iterable[Reserved], now_ms: int) -> None:
    """Keep a decision's reservations: those that still run at `now_ms` and were not reported before."""
    kept = [one for one in reservations if _counts(customer, one, now_ms)]
    if not kept:
        return
    reserved = [*customer.reserved, *kept]
    over = len(reserved) - RESERVED_MAX
    if over > 0:
        reserved.sort(key=_end)
        for one in reserved[:over]:
            add_contact(customer, one.contact, now_ms)
        del reserved[:over]
    customer.reserved = reserved


def report(customer: Customer, recommendation_id: str, rank: int, now_ms: int) -> None:
    """The contact reserved for this recommendation and rank was reported: it is reserved no more."""
    if any(one.recommendation_id == recommendation_id for one in customer.recommendations):
        if customer.reserved:
            customer.reserved = [
                one
                for one in customer.reserved
                if (one.recommendation_id, one.rank) != (recommendation_id, rank)
            ]
        return
    remember(customer, Seen(_reported_hash(recommendation_id, rank), now_ms))


def free_expired(customer: Customer, now_ms: int) -> None:
    """Forget the reservations that have run out at `now_ms`."""
    if any(one.until_ms <= now_ms for one in customer.reserved):
        customer.reserved = [one for one in customer.reserved if one.until_ms > now_ms]


def counted_contacts(
    customer: Customer | None, now_ms: int, underway: Iterable[Reserved] = ()
) -> list[Contact]:
    """The contacts that count at `now_ms` one by one: those recorded, and those reserved until later.

    Args:
        customer: None when nothing is known.
        now_ms: epoch ms.
        underway: reservations of decisions that are not folded yet.
    """
    if customer is None:
        return [one.contact for one in underway if one.until_ms > now_ms]
    contacts = list(customer.contacts.entries)
    if customer.reserved:
        contacts += [one.contact for one in customer.reserved if one.until_ms > now_ms]
    contacts += [one.contact for one in underway if _counts(customer, one, now_ms)]
    return contacts


def running(customer: Customer | None, now_ms: int, underway: Iterable[Reserved] = ()) -> list[Reserved]:
    """The reservations that count at `now_ms` (epoch ms), those of decisions not folded yet included."""
    if customer is None:
        return [one for one in underway if one.until_ms > now_ms]
    kept = [one for one in customer.reserved if one.until_ms > now_ms]
    return kept + [one for one in underway if _counts(customer, one, now_ms)]


def _counts(customer: Customer, one: Reserved, now_ms: int) -> bool:
    if one.until_ms <= now_ms:
        return False
    return seen_entry(customer, _reported_hash(one.recommendation_id, one.rank), now_ms) is None


def _reported_hash(recommendation_id: str, rank: int) -> int:
    return stable_hash("reported", recommendation_id, rank)


def _end(one: Reserved) -> int:
    return one.until_ms
