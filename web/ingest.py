"""POST /events/ingest: one customer event, counted before it is answered, or durable and counted later.

It does not fail because of Kafka or a rebalance: see `intake`. Whoever takes it first gives it its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import msgspec
from aiohttp import web

from app.decision.fold import DUPLICATE, REFUSED, Verdict
from app.decision.records import CustomerId, Event, Instant, ShortText
from app.decision.refusals import Problem
from app.decision.shape import Shape
from web.access import Operation, Role, areas
from web.body import BodyType
from web.errors import NOT_READY, PENDING, ApiError, invalid
from web.forwarding import ElsewhereError
from web.instants import check_not_ahead, instant
from web.intake import Incoming, keep, take
from web.submitting import refusal
from web.view import Answer, ApiView, Call, encode

#: Codes of answers after which nobody may have the event, or none that this worker knows of.
UNSEEN = (NOT_READY, PENDING)

EventType = Literal["purchase", "cart_abandon", "page_view", "app_open", "support_call"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)


class IngestBody(msgspec.Struct, rename="camel"):
    """The request. `type` and `customerId` are required."""

    shape: ClassVar[Shape] = Shape(
        required=("type", "customerId"),
        types={"type": EventType},
        example={"type": "purchase", "customerId": "C-1", "data": {"amount": 42.5}, "eventId": "order-17"},
    )

    type: ShortText | None = None
    customer_id: CustomerId | None = None
    data: dict[str, Any] | None = None
    channel: ShortText | None = None
    session_id: ShortText | None = None
    timestamp: Instant | None = None
    event_id: ShortText | None = None


class EventRecord(Event, omit_defaults=True, rename="camel"):
    """An event as it is written to Kafka: without the fields that say nothing."""


class Ingested(msgspec.Struct, rename="camel", omit_defaults=True):
    """The answer. `streamId` is null when the fold was not seen; `status` is there for a duplicate only."""

    ingested: bool
    event_type: str
    customer_id: str
    stream_id: str | None
    triggers_matched: list[str]
    actions_dispatched: list[str]
    status: str | None = None


_body = BodyType(IngestBody)
_any = msgspec.json.Decoder().decode


class IngestView(ApiView):
    """Takes an event, writes it to the log, and answers what its fold found."""

    view_name = "ingest"
    view_path = "/api/v1/events/ingest"
    without_catalogue = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "Take one customer event, and answer what it set off.",
            Role.EDITOR,
            areas("ingest"),
            body=IngestBody,
            answer=Ingested,
            statuses={200: "Taken."},
        )
    }

    async def post(self, call: Call) -> Answer:
        engine = self.engine
        now_ms = engine.clock_ms()
        event = read_event(call.body, call.tenant_id, now_ms, f"evt_{engine.chance()}")
        try:
            verdict = await take(engine, incoming(event, now_ms), call.caller.forwarded)
        except ElsewhereError:
            # The owner must know it by the same id: this worker keeps it when the owner's answer is lost.
            call.body = encode({**_any(call.body), "eventId": event.event_id})
            raise
        if verdict is not None and verdict.status == REFUSED:
            raise refusal(verdict)
        return _answer(event, verdict)

    async def _from_owner(self, request: web.Request, call: Call, partition: int) -> Answer:
        if call.caller.forwarded:
            # The worker that took this one for the owner keeps it.
            return await super()._from_owner(request, call, partition)
        now_ms = self.engine.clock_ms()
        event = read_event(call.body, call.tenant_id, now_ms, "")
        arriving = incoming(event, now_ms)
        with self.engine.spool.direct(arriving.key):
            try:
                answer = await super()._from_owner(request, call, partition)
            except ApiError as error:
                if error.code not in UNSEEN:
                    raise
                await keep(self.engine, [arriving], error.code == NOT_READY)
                return _answer(event, None)
        unseen = _unseen(answer)
        if unseen is None:
            return answer
        await keep(self.engine, [arriving], unseen == NOT_READY)
        return _answer(event, None)


def incoming(event: EventRecord, at_ms: int) -> Incoming:
    """The event on its way in, received at `at_ms`, epoch ms."""
    return Incoming(event.tenant_id, event.customer_id, event.event_id or "", encode(event), at_ms)


def _answer(event: EventRecord, verdict: Verdict | None) -> Answer:
    return Answer(
        encode(
            Ingested(
                ingested=True,
                event_type=event.type or "",
                customer_id=event.customer_id,
                stream_id=None if verdict is None else event.event_id,
                triggers_matched=[],
                actions_dispatched=[],
                status=DUPLICATE if verdict is not None and verdict.status == DUPLICATE else None,
            )
        )
    )


def _unseen(answer: Answer) -> str | None:
    """The code of an owner's answer that leaves the event to this worker."""
    if answer.status != 503:
        return None
    return next((code for code in UNSEEN if f'"code":"{code}"'.encode() in answer.body), None)


def read_event(body: bytes, tenant_id: str, now_ms: int, new_id: str) -> EventRecord:
    """The event as it is written to the log, with an id and a time.

    Raises:
        ApiError: 400 with every bad field.
    """
    read, problems = _body.read(body)
    bad = {problem.field for problem in problems}
    if read.customer_id is None and "customerId" not in bad:
        problems.append(Problem("customerId", "customerId is required"))
    if read.type not in EVENT_TYPES and "type" not in bad:
        given = "type is required" if read.type is None else "is not a known type"
        problems.append(Problem("type", f"{given}; one of {', '.join(EVENT_TYPES)}"))
    check_not_ahead(read.timestamp, now_ms, problems)
    if problems or read.customer_id is None:
        raise invalid(problems)
    return EventRecord(
        tenant_id=tenant_id,
        customer_id=read.customer_id,
        type=read.type,
        data=read.data,
        channel=read.channel,
        session_id=read.session_id,
        timestamp=read.timestamp or instant(now_ms),
        event_id=read.event_id or new_id,
    )
