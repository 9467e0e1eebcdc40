"""A batch of events as it is read: every item by itself, so that a bad one is only itself.

The body is `{"events": [...]}` or the bare array. Types are free. Two items of one customer with the same
`eventId` are one event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import msgspec

from app.decision.records import CustomerId, Instant, ShortText
from app.decision.refusals import Problem
from app.decision.shape import Shape
from web.body import BodyType, one_value
from web.errors import ApiError, invalid
from web.ingest import EventRecord, incoming
from web.instants import check_not_ahead, instant
from web.intake import RECORD_MAX_BYTES, Incoming

#: Items in a batch, at most.
BATCH_MAX = 100


class EventItem(msgspec.Struct, rename="camel"):
    """One event. `eventType` (or `type`) and `customerId` are required."""

    shape: ClassVar[Shape] = Shape(
        required=("eventType", "customerId"), aliases={"type": "eventType", "data": "properties"}
    )

    event_type: ShortText | None = None
    type: ShortText | None = None
    customer_id: CustomerId | None = None
    properties: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    channel: ShortText | None = None
    session_id: ShortText | None = None
    timestamp: Instant | None = None
    event_id: ShortText | None = None


EventItems = Annotated[list[EventItem], msgspec.Meta(min_length=1, max_length=BATCH_MAX)]


class EventBatch(msgspec.Struct):
    """The request. A bare array of the events is taken too."""

    shape: ClassVar[Shape] = Shape(
        example={
            "events": [{"eventType": "video_watched", "customerId": "C-1", "properties": {"seconds": 31}}]
        }
    )

    events: EventItems


class Item(msgspec.Struct, frozen=True):
    """An item as it was read: an event, the place of the item it repeats, or why it is refused."""

    event: Incoming | None = None
    repeats: int | None = None
    refused: ApiError | None = None


class _Batch(msgspec.Struct):
    """`EventBatch`, its items not read yet."""

    events: list[msgspec.Raw] | None = None


_body = BodyType(_Batch)
_item = BodyType(EventItem)


def read_batch(body: bytes, tenant_id: str, now_ms: int, chance: Callable[[], str]) -> list[Item]:
    """The items, in order.

    Args:
        chance: makes ids for events that bring none.

    Raises:
        ApiError: 400 when it is no batch, has no items, or too many.
    """
    if body.lstrip(b" \t\r\n")[:1] == b"[":
        body = b'{"events":' + body + b"}"
    read, problems = _body.read(body)
    if read.events is None and not problems:
        problems.append(Problem("events", "events is required: a list of 1 to 100 events"))
    elif read.events is not None and not 1 <= len(read.events) <= BATCH_MAX:
        problems.append(Problem("events", f"has {len(read.events)} items; 1 to {BATCH_MAX} are allowed"))
    if problems:
        raise invalid(problems)
    return _items(read.events or (), tenant_id, now_ms, chance)


def _items(raws: Sequence[msgspec.Raw], tenant_id: str, now_ms: int, chance: Callable[[], str]) -> list[Item]:
    items: list[Item] = []
    first: dict[tuple[str, str], int] = {}
    for place, raw in enumerate(raws):
        try:
            event = _event(bytes(raw), tenant_id, now_ms, f"evt_{chance()}")
        except ApiError as error:
            items.append(Item(refused=error))
            continue
        earlier = first.setdefault((event.customer_id, event.event_id), place)
        items.append(Item(event) if earlier == place else Item(repeats=earlier))
    return items


def _event(body: bytes, tenant_id: str, now_ms: int, new_id: str) -> Incoming:
    read, problems = _item.read(body)
    bad = {problem.field for problem in problems}
    if read.customer_id is None and "customerId" not in bad:
        problems.append(Problem("customerId", "customerId is required"))
    event_type = one_value([("eventType", read.event_type), ("type", read.type)], problems)
    if event_type is None and not bad & {"eventType", "type"}:
        problems.append(Problem("eventType", "eventType is required"))
    data = one_value([("properties", read.properties), ("data", read.data)], problems)
    check_not_ahead(read.timestamp, now_ms, problems)
    if problems or read.customer_id is None:
        raise invalid(problems)
    record = EventRecord(
        tenant_id=tenant_id,
        customer_id=read.customer_id,
        type=event_type,
        data=data,
        channel=read.channel,
        session_id=read.session_id,
        timestamp=read.timestamp or instant(now_ms),
        event_id=read.event_id or new_id,
    )
    event = incoming(record, now_ms)
    if len(event.record) > RECORD_MAX_BYTES:
        raise invalid((Problem("", f"is larger than {RECORD_MAX_BYTES} bytes"),))
    return event
