"""POST /respond and /capture: an outcome, attributed, counted once, visible before it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.entities import OutcomeType
from app.decision.fold import CONFLICT, DUPLICATE, ERASED, PARKED, RECORDED, REFUSED, Verdict
from app.decision.records import ShortText, Target
from app.decision.refusals import Problem
from app.decision.responses import attributed
from app.decision.targets import NoTarget, resolve_target
from app.decision.tiers import WindowName
from config.topics import RESPONSES
from web.access import Operation, Parameter, Role, areas
from web.engine import Engine
from web.errors import ApiError, conflict, invalid, not_found, pending
from web.idempotency_key import IDEMPOTENCY_KEY
from web.instants import instant, iso
from web.respond_body import RespondBody, ResponseRecord, read_response
from web.routing import Lease, lease_customer
from web.submitting import refusal, submit
from web.view import Answer, ApiView, Call, encode

_RETRY = "retry with the same idempotencyKey"


class Responded(msgspec.Struct, rename="camel"):
    """The answer, in both documented shapes."""

    interaction_id: str
    id: str
    recommendation_id: str | None
    customer_id: str
    outcome: str
    outcome_type: str
    classification: str
    rank: int | None
    offer_id: str
    offer_name: str | None
    creative_id: str | None
    creative_name: str | None
    channel_id: str | None
    channel_name: str | None
    category_name: str | None
    trace_id: str | None
    attribution: str
    status: str
    timestamp: str
    recorded_at: str


_KEY_HEADER = Parameter(IDEMPOTENCY_KEY, ShortText, "In place of idempotencyKey.", place="header")


class RespondView(ApiView):
    """Takes an outcome, resolves what it is about, writes it, and answers what its fold found."""

    view_name = "respond"
    view_path = "/api/v1/respond"
    window: ClassVar[WindowName] = "responses"
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "Record what a customer did with what was shown.",
            Role.EDITOR,
            areas("respond"),
            body=RespondBody,
            answer=Responded,
            statuses={201: "Recorded.", 200: "It was recorded before."},
            parameters=(
                Parameter(IDEMPOTENCY_KEY, ShortText, "In place of idempotencyKey.", place="header"),
            ),
            errors=(404, 409),
        )
    }

    async def post(self, call: Call) -> Answer:
        engine = self.engine
        now_ms = engine.clock_ms()
        response = read_response(call.body, call.headers, call.tenant_id, now_ms)
        lease = lease_customer(engine, response.tenant_id, response.customer_id)
        catalogue = engine.catalogue().tenant(call.tenant_id)
        outcome = known_outcome(response, catalogue)
        target = _target(engine, lease, response, catalogue, now_ms)
        response.target = attributed(target, outcome, catalogue)
        verdict = await submit(engine, lease, RESPONSES, encode(response), _RETRY)
        _check(verdict)
        at = response.timestamp or instant(verdict.at_ms or now_ms)
        answer = responded(response, target, outcome, catalogue, verdict, at)
        return Answer(encode(answer), 200 if verdict.status == DUPLICATE else 201)


class CaptureView(RespondView):
    """The same under its older name."""

    view_name = "capture"
    view_path = "/api/v1/capture"


def known_outcome(response: ResponseRecord, catalogue: TenantCatalogue) -> OutcomeType:
    """The outcome's type.

    Raises:
        ApiError: 400 when the tenant has no such type.
    """
    outcome = catalogue.outcome_type(response.outcome or "")
    if outcome is None:
        raise invalid((Problem("outcome", f"outcome type {response.outcome} is not known"),))
    return outcome


def _target(
    engine: Engine, lease: Lease, response: ResponseRecord, catalogue: TenantCatalogue, now_ms: int
) -> Target:
    """What the response is about, by the state and the decisions under way as they are now.

    Raises:
        ApiError: 404 when something named does not exist, 400 when what is named does not fit together.
    """
    partition = lease.partition
    known = partition.recommendations(lease.key, partition.customer(lease.key))
    target = resolve_target(response, known, catalogue, now_ms)
    if isinstance(target, Target):
        return target
    raise _no_target(target)


def _no_target(found: NoTarget) -> ApiError:
    problem = found.problem
    if found.missing:
        return ApiError(404, "NOT_FOUND", f"{problem.field}: {problem.message}", (problem,))
    return invalid((problem,))


def _check(verdict: Verdict) -> None:
    """Raises ApiError when the record did not count, or was not seen to."""
    if verdict.status in (RECORDED, DUPLICATE):
        return
    if verdict.status == CONFLICT:
        raise conflict("This idempotencyKey was used with another conversionValue or timestamp.")
    if verdict.status == REFUSED:
        raise refusal(verdict)
    if verdict.status == ERASED:
        raise not_found("The customer was erased meanwhile; nothing of this is kept.", "customerId")
    if verdict.status == PARKED:
        raise pending(f"Recorded, but what it is about is not visible yet; {_RETRY}.")
    raise AssertionError(f"unknown verdict {verdict.status}")


def responded(
    response: ResponseRecord,
    target: Target,
    outcome: OutcomeType,
    catalogue: TenantCatalogue,
    verdict: Verdict,
    at: datetime,
) -> Responded:
    """The answer; names are the catalogue's now, null for what it no longer has."""
    offer, category = catalogue.offer(target.offer_id), catalogue.category(target.category_id)
    creative, channel = catalogue.creative(target.creative_id), catalogue.channel(target.channel_id)
    named = response.outcome or outcome.key
    timestamp = iso(at)
    return Responded(
        interaction_id=verdict.interaction_id,
        id=verdict.interaction_id,
        recommendation_id=target.recommendation_id,
        customer_id=response.customer_id,
        outcome=named,
        outcome_type=named,
        classification=outcome.classification,
        rank=target.rank,
        offer_id=target.offer_id,
        offer_name=None if offer is None else offer.name,
        creative_id=target.creative_id or None,
        creative_name=None if creative is None else creative.name,
        channel_id=target.channel_id or None,
        channel_name=None if channel is None else channel.name,
        category_name=None if category is None else category.name,
        trace_id=target.trace_id,
        attribution=target.attribution,
        status=verdict.status,
        timestamp=timestamp,
        recorded_at=timestamp,
    )
