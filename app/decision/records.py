"""Records as producers write them, decoded and checked: over HTTP and from Kafka by the same rules.

A record is accepted as a typed value or `Refused` with all its bad fields; decoding never raises.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec

from app.decision.policies.zones import find_zone, no_zone
from app.decision.profiles import profile_bounds
from app.decision.refusals import Problem, Refused, invalid, refusal
from app.decision.shape import Shape
from app.decision.state import (
    ANSWER_MAX_BYTES,
    ASSIGNED_MAX,
    RESERVATION_MAX_MS,
    SUPPRESSIONS_MAX,
    AttributeValue,
    Features,
    ModelKey,
    Shown,
    StoredId,
)

#: Events this far ahead of the fold's clock are dead-lettered: a wrong clock must not poison windows.
FUTURE_LIMIT_MS = 24 * 3_600_000

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

TenantId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
CustomerId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
#: What a stored number may be: every reader of JSON agrees on integers up to 2^53.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: An instant with its offset from UTC; without one it is refused, since no reader could agree on it.
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

#: Decisions in one recommendation, at most: 50 placements of 50.
SHOWN_MAX = 2_500

#: A trace, encoded, at most; recommend leaves a larger one out.
TRACE_MAX_BYTES = 2 * 1024 * 1024

#: What a decision shows, encoded, at most: state keeps four of them in one value, of 8 MiB at most.
SHOWN_MAX_BYTES = 7 * 256 * 1024

#: So many shown are within SHOWN_MAX_BYTES as state keeps them, whatever their ids and features.
SHOWN_SMALL = 85

_TENANT = re.compile(r"[a-z0-9-]{1,64}")


class Event(msgspec.Struct, rename="camel"):
    """A customer event, as the `events` topic carries it."""

    shape: ClassVar[Shape] = Shape(required=("type",), aliases={"eventType": "type", "properties": "data"})

    tenant_id: TenantId
    customer_id: CustomerId
    type: ShortText | None = None
    event_type: ShortText | None = None
    data: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    channel: ShortText | None = None
    session_id: ShortText | None = None
    timestamp: Instant | None = None
    event_id: ShortText | None = None


class Target(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What was responded to. `attribution` is "recommendation", "expired" or "direct"."""

    offer_id: StoredId
    creative_id: StoredId
    channel_id: StoredId
    category_id: StoredId
    placement_id: StoredId | None = None
    recommendation_id: StoredId | None = None
    rank: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    trace_id: StoredId | None = None
    attribution: StoredId = "direct"
    #: The outcome's key, whether it is a contact, and whether a positive response, as respond resolved them;
    #: None when it did not.
    outcome: StoredId | None = None
    contact: bool = False
    positive: bool = False
    #: As of the decision, see `Shown` and `Recommendation`.
    experiment_id: StoredId | None = None
    variant: StoredId | None = None
    flow_experiment_id: StoredId | None = None
    flow_variant: StoredId | None = None
    model_id: ModelKey | None = None
    features: Features = ()


class Response(msgspec.Struct, rename="camel"):
    """An outcome of something shown to a customer, as the `responses` topic carries it."""

    shape: ClassVar[Shape] = Shape(
        required=("outcome",),
        aliases={"interactionType": "outcome", "outcomeType": "outcome"},
        any_of=(("recommendationId", "creativeId", "offerId", "traceId", "target"),),
    )

    tenant_id: TenantId
    customer_id: CustomerId
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
    #: What respond resolved before it published, from decisions that may not be folded yet.
    target: Target | None = None


class ProfileWrite(msgspec.Struct, rename="camel"):
    """A profile as the operator's systems know it; `replace` forgets what is not named, `erase` all."""

    shape: ClassVar[Shape] = Shape(types={"consent": dict[Reference, Literal["granted", "revoked"]] | None})

    tenant_id: TenantId
    customer_id: CustomerId
    attributes: dict[str, AttributeValue] | None = None
    tags: Annotated[list[ShortText], msgspec.Meta(max_length=1_000)] | None = None
    consent: dict[Reference, str] | None = None
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None
    replace: bool = False
    erase: bool = False
    lift_suppressions: Annotated[list[Reference], msgspec.Meta(max_length=SUPPRESSIONS_MAX)] | None = None


class DecisionMade(msgspec.Struct, rename="camel"):
    """A decision, as its owner published it to the `decisions` topic before answering.

    `origin` and `sequence` name the process and its place among that process's decisions, so that the
    fold can take down the overlay this record replaces.
    """

    tenant_id: TenantId
    customer_id: CustomerId
    recommendation_id: Reference
    decision_flow_id: Reference
    at_ms: Count
    catalogue_version: Count
    origin: ShortText
    sequence: Count
    shown: Annotated[tuple[Shown, ...], msgspec.Meta(max_length=SHOWN_MAX)]
    #: Ranks whose decision is itself a contact (channels with implicit impressions).
    contact_ranks: Annotated[tuple[Count, ...], msgspec.Meta(max_length=SHOWN_MAX)] = ()
    #: (rank, until, epoch ms) of each decision that reserves its contact; see `contacts.reserving`.
    reserved: Annotated[tuple[tuple[Count, Count], ...], msgspec.Meta(max_length=SHOWN_MAX)] = ()
    removals: dict[str, int] = {}
    #: From how many draws the selection probabilities were estimated; 0 when they are exact.
    probability_draws: Count = 0
    #: The variant of each experiment that the customer is assigned anew, by experiment id.
    assigned: Annotated[dict[Reference, Reference], msgspec.Meta(max_length=ASSIGNED_MAX)] = {}
    #: The experiment between scorings that all of it is part of.
    experiment_id: StoredId | None = None
    variant: StoredId | None = None
    #: When the customer was last erased, as the state that this was decided on had it; 0 without.
    erasure_ms: Count = 0
    trace_id: StoredId | None = None
    #: The trace as it is served, already JSON.
    trace: msgspec.Raw = msgspec.Raw(b"null")
    #: Of a call with an idempotency key: the hash of its scope (see `idempotency`), and the answer it gets.
    answer_key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")] | None = None
    answer: msgspec.Raw = msgspec.Raw(b"null")


R = TypeVar("R", bound=msgspec.Struct)

_event = msgspec.json.Decoder(Event)
_response = msgspec.json.Decoder(Response)
_profile = msgspec.json.Decoder(ProfileWrite)
_decision = msgspec.json.Decoder(DecisionMade)


def decode_event(body: bytes) -> Event | Refused:
    event = _decode(_event, Event, body)
    if isinstance(event, Refused):
        return event
    return check_event(event)


def check_event(event: Event) -> Event | Refused:
    """The event with its aliases folded into `type` and `data`, or why not."""
    problems = _tenant_problems(event.tenant_id)
    if event.type is None:
        event.type = event.event_type
        if event.type is None:
            problems.append(Problem("type", "type is required"))
    elif event.event_type is not None and event.event_type != event.type:
        problems.append(Problem("eventType", "differs from type, which it is an alias of"))
    if event.data is None:
        event.data = event.properties
    elif event.properties is not None and event.properties != event.data:
        problems.append(Problem("properties", "differs from data, which it is an alias of"))
    return invalid(problems) if problems else event


def decode_response(body: bytes) -> Response | Refused:
    response = _decode(_response, Response, body)
    if isinstance(response, Refused):
        return response
    problems = _tenant_problems(response.tenant_id) + response_problems(response)
    return invalid(problems) if problems else response


def response_problems(response: Response) -> list[Problem]:
    """What no catalogue is needed to see; folds the outcome's aliases into `outcome`."""
    problems: list[Problem] = []
    aliases = (
        ("outcome", response.outcome),
        ("interactionType", response.interaction_type),
        ("outcomeType", response.outcome_type),
    )
    named = {name: value for name, value in aliases if value is not None}
    if not named:
        problems.append(Problem("outcome", "outcome is required"))
    elif len(set(named.values())) > 1:
        problems.append(Problem(list(named)[-1], "two aliases of outcome have different values"))
    else:
        if response.idempotency_key is None and "outcomeType" not in named:
            problems.append(Problem("idempotencyKey", "idempotencyKey is required with outcome"))
        response.outcome = next(iter(named.values()))
    if response.target is None and not (
        response.recommendation_id or response.creative_id or response.offer_id or response.trace_id
    ):
        problems.append(
            Problem(
                "creativeId",
                "name a target: recommendationId and rank, creativeId, offerId, or traceId and offerId",
            )
        )
    return problems


def decode_profile(body: bytes) -> ProfileWrite | Refused:
    write = _decode(_profile, ProfileWrite, body)
    if isinstance(write, Refused):
        return write
    problems = _tenant_problems(write.tenant_id) + profile_problems(write)
    return invalid(problems) if problems else write


def profile_problems(write: ProfileWrite) -> list[Problem]:
    """What the types alone do not say."""
    problems = profile_bounds(write.attributes or {}, write.consent or {})
    for name, value in (write.attributes or {}).items():
        # JSON has integers of any size, the stored state has not: one would stop its partition for good.
        members = value if isinstance(value, list) else [value]
        if any(isinstance(member, int) and not _INT_MIN <= member <= _INT_MAX for member in members):
            problems.append(Problem(f"attributes.{name}", "holds an integer beyond 64 bits"))
    for name, state in (write.consent or {}).items():
        if state not in ("granted", "revoked"):
            problems.append(Problem(f"consent.{name}", "must be granted or revoked"))
    if write.time_zone is not None and find_zone(write.time_zone) is None:
        problems.append(Problem("timeZone", no_zone(write.time_zone)))
    if write.erase and write != type(write)(write.tenant_id, write.customer_id, erase=True):
        problems.append(Problem("erase", "stands alone: a record that erases says nothing else"))
    return problems


def decode_decision(body: bytes) -> DecisionMade | Refused:
    decision = _decode(_decision, DecisionMade, body)
    if isinstance(decision, Refused):
        return decision
    problems = _tenant_problems(decision.tenant_id)
    for name, raw, most in (
        ("trace", decision.trace, TRACE_MAX_BYTES),
        ("answer", decision.answer, ANSWER_MAX_BYTES),
    ):
        if len(bytes(raw)) > most:
            problems.append(Problem(name, f"more than {most} bytes"))
    if len(decision.shown) > SHOWN_SMALL and len(msgspec.json.encode(decision.shown)) > SHOWN_MAX_BYTES:
        problems.append(Problem("shown", f"more than {SHOWN_MAX_BYTES} bytes"))
    if any(until_ms > decision.at_ms + RESERVATION_MAX_MS for _, until_ms in decision.reserved):
        problems.append(Problem("reserved", f"longer than {RESERVATION_MAX_MS} ms"))
    return invalid(problems) if problems else decision


def epoch_ms(instant: datetime) -> int:
    """Epoch milliseconds of an instant that has an offset."""
    return round(instant.timestamp() * 1000)


@functools.lru_cache(maxsize=4_096)
def _is_tenant(tenant_id: str) -> bool:
    return _TENANT.fullmatch(tenant_id) is not None


def _tenant_problems(tenant_id: str) -> list[Problem]:
    if _is_tenant(tenant_id):
        return []
    return [Problem("tenantId", "must match [a-z0-9-]{1,64}")]


def _decode(decoder: msgspec.json.Decoder[R], kind: type[R], body: bytes) -> R | Refused:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return refusal(kind, body, error)
