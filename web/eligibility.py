"""GET /customers/{id}/eligibility: for every offer whether the customer may get it, and why not.

Nothing is written, and no model's failure is counted: asking why changes no later decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.contacts.reserving import counted_contacts
from app.decision.decision import CustomerView
from app.decision.eligibility import eligibility
from app.decision.entities import Offer
from app.decision.findings import OfferEligibility
from app.decision.records import Reference
from app.decision.refusals import Problem
from app.decision.shared import NO_BUDGETS, Budgets
from web.access import LIMIT, OFFSET, Operation, Parameter, Role, areas
from web.accounting import shared_for
from web.customer_body import checked_customer_id
from web.deciding import check_known, flow_for, stopwatch_ms, view_of
from web.engine import Engine
from web.errors import not_found
from web.instants import iso_ms
from web.query import given, page
from web.recommend_body import Wanted, read_fields, wanted_of
from web.routing import lease_customer
from web.stale import STALE_STATE, assigned_of, standby_for, stored_customer
from web.view import Answer, ApiView, Call, encode

_FIELDS = ("decisionFlowId", "decisionFlowKey", "blueprintKey", "channelId", "channel", "placement")


class EligibilityBody(msgspec.Struct, rename="camel", omit_defaults=True):
    """The answer: one page of the tenant's offers, by id; `total` is how many there are."""

    customer_id: str
    decision_flow_id: str
    processed_at: str
    offers: list[OfferEligibility]
    total: int
    degraded: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """What a caller asks about: where offers would be shown, and which page of them, or which offer."""

    wanted: Wanted
    limit: int
    offset: int
    offer: str | None


class EligibilityView(ApiView):
    """Why a customer gets an offer or not."""

    view_name = "eligibility"
    view_path = "/api/v1/customers/{customerId:[^/]+}/eligibility"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "For every offer whether the customer may get it, and why not.",
            Role.VIEWER,
            areas("decide"),
            answer=EligibilityBody,
            parameters=(
                *(Parameter(name, Reference, "As in recommend.") for name in _FIELDS),
                Parameter("offerId", Reference, "One offer, by id or key."),
                LIMIT,
                OFFSET,
            ),
            errors=(404,),
        )
    }

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        catalogue = engine.catalogue().tenant(call.tenant_id)
        asked = read_asked(call, catalogue)
        lease = lease_customer(engine, call.tenant_id, asked.wanted.customer_id)
        partition, now_ms = lease.partition, engine.clock_ms()
        customer = partition.customer(lease.key)
        contacts = partition.contacts(lease.key, customer, now_ms)
        assigned = partition.assigned(lease.key, customer)
        view = view_of(asked.wanted.customer_id, customer, contacts, assigned)
        budgets = partition.budgets_of(catalogue, now_ms, asks=False)
        return Answer(encode(_body(engine, catalogue, asked, view, now_ms, budgets)))

    def stale(self, method: str, call: Call, partition: int) -> Answer | None:
        engine = self.engine
        copy = standby_for(engine, call, partition)
        if copy is None:
            return None
        catalogue = engine.catalogue().tenant(call.tenant_id)
        asked = read_asked(call, catalogue)
        customer = stored_customer(copy, call.tenant_id, asked.wanted.customer_id)
        now_ms = engine.clock_ms()
        contacts = counted_contacts(customer, now_ms)
        view = view_of(asked.wanted.customer_id, customer, contacts, assigned_of(customer))
        body = _body(engine, catalogue, asked, view, now_ms, NO_BUDGETS)
        body.degraded = STALE_STATE
        return Answer(encode(body))


def read_asked(call: Call, catalogue: TenantCatalogue) -> Asked:
    """What the request asks about.

    Raises:
        ApiError: 400 with every bad parameter, unknown channels and placements included.
    """
    problems: list[Problem] = []
    limit, offset = page(call, problems)
    said = given(call, (*_FIELDS, "offerId"), problems)
    customer_id = checked_customer_id(call.path["customerId"])
    fields = {name: value for name, value in said.items() if name != "offerId"}
    wanted = wanted_of(*read_fields({**fields, "customerId": customer_id}, problems), catalogue)
    return Asked(wanted, limit, offset, said.get("offerId"))


def _body(
    engine: Engine,
    catalogue: TenantCatalogue,
    asked: Asked,
    view: CustomerView,
    now_ms: int,
    budgets: Budgets,
) -> EligibilityBody:
    """The answer for a customer as seen.

    Raises:
        ApiError: 404 without the flow, for an offer nobody knows, and for a customer nobody knows where the
            flow wants one known.
    """
    flow = flow_for(asked.wanted, catalogue)
    check_known(flow, view)
    offers = _offers(catalogue, asked.offer)
    found = eligibility(
        flow,
        catalogue,
        offers[asked.offset : asked.offset + asked.limit],
        asked.wanted.request,
        view,
        now_ms,
        engine.chance(),
        stopwatch_ms,
        shared_for(engine, catalogue, flow, stopwatch_ms(), budgets),
    )
    return EligibilityBody(
        customer_id=asked.wanted.customer_id,
        decision_flow_id=flow.flow_id,
        processed_at=iso_ms(now_ms),
        offers=found,
        total=len(offers),
    )


def _offers(catalogue: TenantCatalogue, named: str | None) -> list[Offer]:
    """The tenant's offers by id, or the one named."""
    if named is None:
        return catalogue.all("offers", Offer)
    offer = catalogue.offer(named)
    if offer is None:
        raise not_found(f"There is no offer {named[:128]}.", "offerId")
    return [offer]
