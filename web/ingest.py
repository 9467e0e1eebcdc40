"""POST /events/ingest: one customer event, counted before it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from app.decision.fold import DUPLICATE, REFUSED
from app.decision.records import CustomerId, Event, Instant, ShortText
from app.decision.refusals import Problem
from config.topics import EVENTS
from web.access import Operation, Role, areas
from web.body import BodyType
from web.errors import invalid
from web.instants import check_not_ahead, instant
from web.routing import lease_customer
from web.submitting import refusal, submit
from web.view import Answer, ApiView, Call, encode

EVENT_TYPES = ("purchase", "cart_abandon", "page_view", "app_open", "support_call")


class IngestBody(msgspec.Struct, rename="camel"):
    """The request. `type` and `customerId` are required."""

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
    """The answer. `status` is there for a duplicate only."""

    ingested: bool
    event_type: str
    customer_id: str
    stream_id: str
    triggers_matched: list[str]
    actions_dispatched: list[str]
    status: str | None = None


_body = BodyType(IngestBody)


class IngestView(ApiView):
    """Takes an event, writes it to the log, and answers what its fold found."""

    view_name = "ingest"
    view_path = "/api/v1/events/ingest"
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
        event = read_event(call.body, call.tenant_id, engine.clock_ms(), f"evt_{engine.chance()}")
        lease = lease_customer(engine, event.tenant_id, event.customer_id)
        event_id = event.event_id or ""
        verdict = await submit(engine, lease, EVENTS, encode(event), f"retry with eventId {event_id}")
        if verdict.status == REFUSED:
            raise refusal(verdict)
        return Answer(
            encode(
                Ingested(
                    ingested=True,
                    event_type=event.type or "",
                    customer_id=event.customer_id,
                    stream_id=event_id,
                    triggers_matched=[],
                    actions_dispatched=[],
                    status=DUPLICATE if verdict.status == DUPLICATE else None,
                )
            )
        )


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
