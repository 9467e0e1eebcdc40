"""The body of recommend: which fields, their aliases and bounds, and what the catalogue must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import DecisionRequest, PlacementRequest
from app.decision.decision import LIMIT_MAX
from app.decision.records import CustomerId, Reference, ShortText
from app.decision.refusals import Problem
from app.decision.shape import Shape
from web.body import BodyType, one_value
from web.errors import invalid

LIMIT_DEFAULT = 5
PLACEMENTS_MAX = 50
EXCLUDED_MAX = 1_000

Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]


class PlacementBody(msgspec.Struct, rename="camel"):
    """One placement to fill, and with how many decisions."""

    placement: Reference
    limit: Limit | None = None


Excluded = Annotated[list[Reference], Meta(max_length=EXCLUDED_MAX)]


class RecommendBody(msgspec.Struct, rename="camel"):
    """The request. `customerId` is required."""

    shape: ClassVar[Shape] = Shape(
        required=("customerId",),
        aliases={
            "maxOffers": "limit",
            "decisionFlowKey": "decisionFlowId",
            "blueprintKey": "decisionFlowId",
        },
        example={
            "customerId": "C-1",
            "channel": "web",
            "limit": 3,
            "attributes": {"device": "mobile"},
            "trace": True,
        },
    )

    customer_id: CustomerId | None = None
    limit: Limit | None = None
    max_offers: Limit | None = None
    decision_flow_id: Reference | None = None
    decision_flow_key: Reference | None = None
    blueprint_key: Reference | None = None
    channel_id: Reference | None = None
    channel: Reference | None = None
    placement: Reference | None = None
    placements: Annotated[list[Reference | PlacementBody], Meta(max_length=PLACEMENTS_MAX)] | None = None
    deduplicate: bool | None = None
    attributes: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    segments: Annotated[list[ShortText], Meta(max_length=EXCLUDED_MAX)] | None = None
    session_id: ShortText | None = None
    exclude_offers: Excluded | None = None
    exclude_creatives: Excluded | None = None
    trace: bool | None = None
    debug: bool | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What a caller asked for, its names looked up. `channel` and `placement` choose the flow."""

    customer_id: str
    flow: str | None
    channel: str | None
    placement: str | None
    debug: bool
    request: DecisionRequest


_body = BodyType(RecommendBody)
_NONE: frozenset[str] = frozenset()


def read_recommend(body: bytes) -> tuple[RecommendBody, list[Problem]]:
    """The fields that fit, and the problems with the others.

    Raises:
        ApiError: 400 when it is no JSON object.
    """
    return _body.read(body)


def read_wanted(body: bytes, catalogue: TenantCatalogue) -> Wanted:
    """What the request asks for.

    Raises:
        ApiError: 400 with every bad field, unknown channels and placements included.
    """
    return wanted_of(*_body.read(body), catalogue)


def read_fields(fields: Mapping[str, object], problems: list[Problem]) -> tuple[RecommendBody, list[Problem]]:
    """The fields that fit, as of a body that holds them, and the problems with all, those given first."""
    read, found = _body.read(msgspec.json.encode(fields))
    return read, [*problems, *found]


def wanted_of(read: RecommendBody, problems: list[Problem], catalogue: TenantCatalogue) -> Wanted:
    """What the fields of a request ask for.

    Args:
        read: The fields that fit.
        problems: What is wrong with the others.
        catalogue: Whose flows, channels, placements and segments are meant.

    Raises:
        ApiError: 400 with every bad field, unknown channels and placements included.
    """
    if read.customer_id is None and all(problem.field != "customerId" for problem in problems):
        problems.append(Problem("customerId", "customerId is required"))
    limit = one_value((("limit", read.limit), ("maxOffers", read.max_offers)), problems) or LIMIT_DEFAULT
    flow = _flow(read, problems)
    placements = _placements(read, limit, catalogue, problems)
    channel_id, channel_type = _channel(read, catalogue, problems)
    segments = _segments(read, catalogue, problems)
    if problems or read.customer_id is None:
        raise invalid(problems)
    request = DecisionRequest(
        limit=limit,
        channel_id=channel_id,
        channel_type=channel_type,
        placements=placements,
        deduplicate=read.deduplicate is not False,
        attributes=read.attributes or {},
        context=read.context or {},
        exclude_offers=frozenset(read.exclude_offers) if read.exclude_offers else _NONE,
        exclude_creatives=frozenset(read.exclude_creatives) if read.exclude_creatives else _NONE,
        segments=segments,
        trace=bool(read.trace),
    )
    return Wanted(
        customer_id=read.customer_id,
        flow=flow,
        channel=channel_id or channel_type,
        placement=placements[0].placement_id if placements else None,
        debug=bool(read.debug),
        request=request,
    )


def _segments(read: RecommendBody, catalogue: TenantCatalogue, problems: list[Problem]) -> frozenset[str]:
    """The segments, by id, that a trusted caller says the customer is in; none from any other caller.

    A caller who is not trusted may send names that this tenant does not know, as before it was: they have no
    effect, so they are not looked up either.
    """
    if not read.segments or not catalogue.settings.trust_request_segments:
        return _NONE
    found: set[str] = set()
    for index, name in enumerate(read.segments):
        segment_id = catalogue.id_of("segments", name)
        if segment_id is None:
            problems.append(Problem(f"segments[{index}]", f"segment {name[:128]} is not known"))
        else:
            found.add(segment_id)
    return frozenset(found)


def _flow(read: RecommendBody, problems: list[Problem]) -> str | None:
    """The flow named, by id or key."""
    named: str | None = one_value(
        (
            ("decisionFlowId", read.decision_flow_id),
            ("decisionFlowKey", read.decision_flow_key),
            ("blueprintKey", read.blueprint_key),
        ),
        problems,
    )
    return named


def _placements(
    read: RecommendBody, limit: int, catalogue: TenantCatalogue, problems: list[Problem]
) -> tuple[PlacementRequest, ...]:
    if read.placement is None and read.placements is None:
        return ()
    entries = [PlacementBody(one) if isinstance(one, str) else one for one in read.placements or ()]
    if read.placement is not None:
        single = PlacementBody(read.placement)
        if entries and entries != [single]:
            problems.append(Problem("placement", "name one placement, or several as placements, not both"))
        entries = [single]
    found: list[PlacementRequest] = []
    for index, entry in enumerate(entries):
        placement = catalogue.placement(entry.placement)
        if placement is None:
            field = "placement" if read.placement is not None else f"placements[{index}]"
            problems.append(Problem(field, f"placement {entry.placement} is not known"))
        else:
            found.append(PlacementRequest(placement.id, entry.limit or limit))
    return tuple(found)


def _channel(
    read: RecommendBody, catalogue: TenantCatalogue, problems: list[Problem]
) -> tuple[str | None, str | None]:
    """The channel's id and the channel type asked for; `channel` may also name one channel."""
    channel_id: str | None = None
    channel_type: str | None = None
    if read.channel_id is not None:
        named = catalogue.channel(read.channel_id)
        if named is None:
            problems.append(Problem("channelId", f"channel {read.channel_id} is not known"))
        else:
            channel_id = named.id
    if read.channel is not None:
        choice = catalogue.resolve_channel(read.channel)
        if choice is None:
            problems.append(Problem("channel", f"channel {read.channel} is not known"))
        elif choice.channel_id is None:
            channel_type = choice.channel_type
        elif channel_id is not None and channel_id != choice.channel_id:
            problems.append(Problem("channel", f"means {choice.channel_id}, channelId means {channel_id}"))
        else:
            channel_id = choice.channel_id
    return channel_id, channel_type
