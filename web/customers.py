"""PUT, PATCH and GET /customers/{id}: what is known about one customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from app.decision.contacts.reserving import counted_contacts, running
from app.decision.fold import REFUSED
from app.decision.state import Customer
from config.topics import PROFILES
from tables.codec import MissingValueError
from tables.partition import PartitionClosedError
from tables.store import StoreError
from web.access import Operation, Role, areas
from web.customer_body import (
    CustomerBody,
    ProfileBody,
    SeenCustomer,
    checked_customer_id,
    customer_body,
    read_profile,
)
from web.deciding import view_of
from web.engine import Engine
from web.erasures import ERASES, erase
from web.errors import not_found, pending
from web.routing import Lease, lease_customer
from web.stale import STALE_STATE, assigned_of, standby_for, stored_customer, stored_recommendations
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
        seen = _body(self.engine, call, _stored(_known_one(customer), now_ms), now_ms)
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
    customer = _known_one(partition.customer(key))
    underway = [one for overlay in partition.overlays.of(key) for one in overlay.reserved]
    contacts, assigned = partition.contacts(key, customer, now_ms), partition.assigned(key, customer)
    seen = SeenCustomer(
        customer=customer,
        view=view_of(customer.customer_id, customer, contacts, assigned),
        recommendations=partition.recommendations(key, customer),
        reserved=running(customer, now_ms, underway),
    )
    return _body(engine, call, seen, now_ms)


def _stored(customer: Customer, now_ms: int) -> SeenCustomer:
    """A customer as a copy has them."""
    contacts = counted_contacts(customer, now_ms)
    return SeenCustomer(
        customer=customer,
        view=view_of(customer.customer_id, customer, contacts, assigned_of(customer)),
        recommendations=stored_recommendations(customer),
        reserved=running(customer, now_ms),
    )


def _known_one(customer: Customer | None) -> Customer:
    """Raises ApiError, 404, when nothing is known of the customer."""
    if customer is None or not customer.known_since_ms:
        raise not_found("This customer is not known.", "customerId")
    return customer


def _body(engine: Engine, call: Call, seen: SeenCustomer, now_ms: int) -> CustomerBody:
    return customer_body(seen, engine.catalogue().tenant(call.tenant_id), now_ms)
