"""PUT, PATCH and GET /customers/{id}: what is known about one customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from app.decision.contacts.reserving import counted_contacts
from app.decision.fold import REFUSED
from app.decision.state import Contact, Customer, Recommendation
from config.topics import PROFILES
from tables.codec import MissingValueError
from tables.partition import PartitionClosedError
from tables.store import StoreError
from web.access import Operation, Role, areas
from web.customer_body import CustomerBody, ProfileBody, checked_customer_id, customer_body, read_profile
from web.engine import Engine
from web.erasures import ERASES, erase
from web.errors import not_found, pending
from web.routing import Lease, lease_customer
from web.stale import STALE_STATE, standby_for, stored_customer, stored_recommendations
from web.submitting import refusal, submit
from web.view import Answer, ApiView, Call, encode

_RETRY = "retry the same request"


def _written(summary: str) -> Operation:
    return Operation(
        summary,
        Role.EDITOR,
        areas("ingest"),
        body=ProfileBody,
        answer=CustomerBody,
        statuses={200: "Written.", 201: "Written; nothing was known of the customer before."},
    )


class CustomerView(ApiView):
    """PUT replaces the profile, PATCH merges into it; both answer what GET would."""

    view_name = "customer"
    view_path = "/api/v1/customers/{customerId:[^/]+}"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "A customer as the engine sees them.",
            Role.VIEWER,
            areas("decide", "ingest"),
            answer=CustomerBody,
            errors=(404,),
        ),
        "PUT": _written("Replace a customer's profile."),
        "PATCH": _written("Merge into a customer's profile; null removes an attribute."),
        "DELETE": ERASES,
    }

    async def get(self, call: Call) -> Answer:
        lease = lease_customer(self.engine, call.tenant_id, _customer_id(call))
        return Answer(encode(_seen(self.engine, lease, call)))

    async def put(self, call: Call) -> Answer:
        return await self._write(call, replace=True)

    async def patch(self, call: Call) -> Answer:
        return await self._write(call, replace=False)

    async def delete(self, call: Call) -> Answer:
        return await erase(self.engine, call, _customer_id(call))

    def stale(self, method: str, call: Call, partition: int) -> Answer | None:
        copy = standby_for(self.engine, call, partition) if method in ("GET", "HEAD") else None
        if copy is None:
            return None
        customer = stored_customer(copy, call.tenant_id, _customer_id(call))
        now_ms = self.engine.clock_ms()
        contacts = counted_contacts(customer, now_ms)
        seen = _body(self.engine, call, customer, contacts, stored_recommendations(customer), now_ms)
        seen.degraded = STALE_STATE
        return Answer(encode(seen))

    async def _write(self, call: Call, replace: bool) -> Answer:
        customer_id = _customer_id(call)
        record = read_profile(call.body, call.tenant_id, customer_id, replace)
        lease = lease_customer(self.engine, call.tenant_id, customer_id)
        created = not _known(lease)
        verdict = await submit(self.engine, lease, PROFILES, encode(record), _RETRY)
        if verdict.status == REFUSED:
            raise refusal(verdict)
        try:
            seen = _seen(self.engine, lease, call)
        except (StoreError, MissingValueError, PartitionClosedError) as error:
            raise pending(f"Recorded, but not readable now; {_RETRY}.") from error
        return Answer(encode(seen), 201 if created else 200)


def _customer_id(call: Call) -> str:
    return checked_customer_id(call.path["customerId"])


def _known(lease: Lease) -> bool:
    customer = lease.partition.customer(lease.key)
    return customer is not None and customer.known_since_ms != 0


def _seen(engine: Engine, lease: Lease, call: Call) -> CustomerBody:
    partition, key, now_ms = lease.partition, lease.key, engine.clock_ms()
    customer = partition.customer(key)
    contacts = partition.contacts(key, customer, now_ms)
    recommendations = partition.recommendations(key, customer)
    return _body(engine, call, customer, contacts, recommendations, now_ms)


def _body(
    engine: Engine,
    call: Call,
    customer: Customer | None,
    contacts: Sequence[Contact],
    recommendations: Sequence[Recommendation],
    now_ms: int,
) -> CustomerBody:
    """The customer's state at `now_ms` (epoch ms).

    Raises:
        ApiError: 404 when nothing is known of the customer.
    """
    if customer is None or not customer.known_since_ms:
        raise not_found("This customer is not known.", "customerId")
    catalogue = engine.catalogue().tenant(call.tenant_id)
    return customer_body(customer, contacts, recommendations, catalogue, now_ms)
