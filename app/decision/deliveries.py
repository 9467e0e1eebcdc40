"""Deliveries: what one fold made of a customer's contacts, as budgets count it.

Rules:

1.  A delivery is a contact: a decision on an implicit channel, a reported impression, or a reservation.
2.  It is told as the difference that a fold made. So what is reserved and then reported is one delivery, and
    a reservation that ran out is none any more, once a record of its customer is folded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from app.decision.state import Customer, Reserved


class Delivery(msgspec.Struct, frozen=True):
    """A contact that came (`count` 1) or went (−1); `at_ms` is epoch milliseconds."""

    at_ms: int
    offer_id: str
    creative_id: str
    count: int = 1


class ContactMark(msgspec.Struct, frozen=True):
    """A customer's contacts before a fold."""

    end: int
    reserved: Sequence[Reserved]


def mark_contacts(customer: Customer) -> ContactMark:
    """To be asked for `made_since` after the fold."""
    return ContactMark(customer.contacts.end, customer.reserved)


def made_since(mark: ContactMark, customer: Customer) -> Iterator[Delivery]:
    """The deliveries that came and went since the mark."""
    fresh = customer.contacts.end - mark.end
    if fresh:
        for contact in customer.contacts.entries[-fresh:]:
            yield Delivery(contact.at_ms, contact.offer_id, contact.creative_id)
    if customer.reserved is mark.reserved:
        return
    before = {(one.recommendation_id, one.rank): one for one in mark.reserved}
    after = {(one.recommendation_id, one.rank): one for one in customer.reserved}
    for held, other, count in ((after, before, 1), (before, after, -1)):
        for name in [name for name in held if name not in other]:
            contact = held[name].contact
            yield Delivery(contact.at_ms, contact.offer_id, contact.creative_id, count)
