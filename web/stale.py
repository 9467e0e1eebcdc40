"""Answering from a standby, where the tenant allows it: while the owner is away, and flagged.

Rules:

1.  A copy may lag behind its owner: such an answer says `degraded`, and promises neither to see what was just
    written nor to keep a cap. So a recommend is answered only on channels that may be answered without log.
2.  Nothing is written: neither a decision nor a trace.
"""

from __future__ import annotations

from app.decision.state import Assigned, Customer, Recommendation
from tables.codec import load_customer
from tables.layout import customer_key
from tables.standby import Standby
from web.engine import Engine
from web.view import Call

#: What `degraded` says of an answer from a standby.
STALE_STATE = "stale_state"


def standby_for(engine: Engine, call: Call, partition: int) -> Standby | None:
    """The copy that may answer the call; None when there is none, or the tenant wants none to."""
    if not engine.catalogue().tenant(call.tenant_id).settings.stale_reads:
        return None
    copy = engine.standbys().get(partition)
    return copy if copy is not None and copy.usable else None


def stored_customer(standby: Standby, tenant_id: str, customer_id: str) -> Customer | None:
    """The customer as the copy has it.

    Raises:
        StoreError, MissingValueError: it cannot be read.
    """
    return load_customer(customer_key(tenant_id, customer_id), standby.store.get)


def assigned_of(customer: Customer | None) -> dict[str, Assigned]:
    """The variants that a copy's customer has, by experiment id; none of one it does not know."""
    return {} if customer is None else customer.assigned


def stored_recommendations(customer: Customer | None) -> list[Recommendation]:
    """The recommendations that a copy's customer has; none of one it does not know."""
    return [] if customer is None else list(customer.recommendations.entries)
