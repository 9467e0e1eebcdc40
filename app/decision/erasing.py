"""Erasing a customer: what the fold keeps of one afterwards, and which records still count.

Rules:

1.  After an erasure nothing is kept but what bars the way back: watermarks, and since when.
2.  What happened up to the instant of the request does not count any more, whenever its record is folded:
    by its own time or by when it was written, whichever is earlier. A decision is judged by the state that it
    was decided on, whatever its clock said.
3.  What happens later begins a new customer.
4.  Erasures always act, in the order of their fold; the instant only moves on. (Clocks differ: an erasure
    must not be left out since the one before was asked for by a faster clock.)
"""

from __future__ import annotations

from app.decision.ids import ERASURE, routed_id
from app.decision.records import DecisionMade, Event, ProfileWrite, Response, epoch_ms
from app.decision.state import Customer, Erasure


def erasure_id_of(partition: int, now_ms: int, source: int, offset: int) -> str:
    """The id of an erasure.

    Args:
        partition: the customer's.
        now_ms: the batch's time, epoch ms.
        source: the partition that the record was written to, usually the customer's.
        offset: the record's there.
    """
    return routed_id(ERASURE, partition, now_ms, f"{source:04x}{offset:012x}")


def new_erasure(customer: Customer, erasure_id: str, written_ms: int, now_ms: int) -> Erasure:
    """An erasure asked for when its record was written, at the latest now; now when that is not known."""
    before = customer.erasure
    requested_ms = min(written_ms, now_ms) if written_ms > 0 else now_ms
    if before is not None:
        requested_ms = max(requested_ms, before.requested_ms)
    return Erasure(erasure_id, requested_ms, now_ms)


def forget(customer: Customer, erasure: Erasure) -> None:
    """Leave nothing of the customer but watermarks and the erasure."""
    watermarks, rekeyed = customer.watermarks, customer.rekeyed
    Customer.__init__(customer, customer.tenant_id, customer.customer_id)
    customer.watermarks, customer.rekeyed, customer.erasure = watermarks, rekeyed, erasure


def nothing_new(customer: Customer) -> bool:
    """Whether nothing was folded into the customer since the erasure."""
    return not (
        customer.known_since_ms
        or customer.parked
        or customer.recommendations.end
        or customer.contacts.end
        or customer.seen.end
    )


def precedes(body: Event | Response | ProfileWrite | DecisionMade, written_ms: int, erasure: Erasure) -> bool:
    """Whether a record tells of what happened before its customer was erased."""
    if isinstance(body, DecisionMade):
        return body.erasure_ms < erasure.requested_ms
    if isinstance(body, ProfileWrite) or body.timestamp is None:
        return written_ms <= erasure.requested_ms
    return min(written_ms, epoch_ms(body.timestamp)) <= erasure.requested_ms
