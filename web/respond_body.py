"""The body of respond and capture: its fields, and all that can be wrong without looking anything up."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from app.decision.records import CustomerId, Instant, Reference, Response, ShortText, response_problems
from app.decision.refusals import Problem
from app.decision.shape import Shape
from web.body import BodyType, one_value, top_field
from web.caller import Headers
from web.errors import invalid
from web.idempotency_key import IDEMPOTENCY_KEY, given_key
from web.instants import check_not_ahead

_OUTCOMES = frozenset({"outcome", "interactionType", "outcomeType"})
_TARGETS = frozenset({"recommendationId", "creativeId", "offerId", "traceId"})
_KEYS = frozenset({"idempotencyKey", IDEMPOTENCY_KEY})
#: A problem of the first field says nothing new when one of the others is bad already.
_EXPLAINED_BY = {"outcome": _OUTCOMES, "creativeId": _TARGETS, "idempotencyKey": _KEYS}


class RespondBody(msgspec.Struct, rename="camel"):
    """The request: a `Response` without what only the server says, its tenant and its target.

    `outcome` needs an `idempotencyKey`, here or as a header; as `outcomeType` it may go without.
    """

    shape: ClassVar[Shape] = Shape(
        required=("customerId", "outcome"),
        aliases={"interactionType": "outcome", "outcomeType": "outcome"},
        any_of=(("recommendationId", "creativeId", "offerId", "traceId"),),
        example={
            "customerId": "C-1",
            "offerId": "classics-box",
            "outcome": "click",
            "idempotencyKey": "click-1",
        },
    )

    customer_id: CustomerId | None = None
    outcome: Reference | None = None
    interaction_type: Reference | None = None
    outcome_type: Reference | None = None
    recommendation_id: Reference | None = None
    rank: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    offer_id: Reference | None = None
    creative_id: Reference | None = None
    channel_id: Reference | None = None
    trace_id: Reference | None = None
    idempotency_key: ShortText | None = None
    conversion_value: float | None = None
    timestamp: Instant | None = None
    context: dict[str, Any] | None = None
    outcome_details: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class ResponseRecord(Response, omit_defaults=True, rename="camel"):
    """A response as it is written to Kafka: without the fields that say nothing."""


_body = BodyType(RespondBody)


def read_response(body: bytes, headers: Headers, tenant_id: str, now_ms: int) -> ResponseRecord:
    """The response as it is written to the log, its target not resolved yet.

    Raises:
        ApiError: 400 with every bad field.
    """
    read, problems = _body.read(body)
    given = given_key(headers, problems)
    key = one_value((("idempotencyKey", read.idempotency_key), (IDEMPOTENCY_KEY, given)), problems)
    values = {name: getattr(read, name) for name in RespondBody.__struct_fields__}
    record = ResponseRecord(
        **{**values, "tenant_id": tenant_id, "customer_id": read.customer_id or "", "idempotency_key": key}
    )
    bad = {top_field(problem.field) for problem in problems}
    if read.customer_id is None and "customerId" not in bad:
        problems.append(Problem("customerId", "customerId is required"))
    for problem in response_problems(record):
        if bad.isdisjoint(_EXPLAINED_BY.get(problem.field, ())):
            problems.append(problem)
    # The record names the outcome twice whenever it came as `outcomeType`: only here they can be told apart.
    named_thus = read.outcome_type is not None and (read.outcome or read.interaction_type)
    if key is None and named_thus and bad.isdisjoint(_KEYS | _OUTCOMES):
        problems.append(Problem("idempotencyKey", "idempotencyKey is required with outcome"))
    check_not_ahead(read.timestamp, now_ms, problems)
    if problems:
        raise invalid(problems)
    return record
