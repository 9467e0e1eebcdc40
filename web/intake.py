"""An event's way in: to Kafka while it takes it, else to this worker's spool. Durable either way.

Rules:

1.  What an event is, its id included, is settled before this. So it may be sent twice: the fold drops the
    second one by its id.
2.  A customer's events keep their order: what comes while some of them are in the spool queues behind them.
3.  Nobody waits long: Kafka has `PATIENCE_S` to acknowledge, then the event goes to the spool, and all others
    go there at once until Kafka takes something again.
4.  What another worker sent on stays out of this spool: that worker keeps it in its own, and the customer's
    later ones behind it. Two spools with events of one client would not know of each other's order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import structlog

from app.decision.fold import Verdict
from config.topics import EVENTS, MESSAGE_MAX_BYTES
from tables.layout import customer_key
from tables.publisher import Derived, PublishError
from tables.routing import partition_of
from tables.spool_files import SpoolError
from tables.spool_records import Spooled
from tables.waiters import FoldAbandonedError, WaitersFullError
from web.engine import Engine
from web.errors import ApiError, not_ready, overloaded, pending, too_large
from web.routing import Lease, lease_customer
from web.submitting import written

log = structlog.get_logger(__name__)

PATIENCE_S = 1.0

#: A larger record is one that no broker takes; key and framing need some of the room.
RECORD_MAX_BYTES = MESSAGE_MAX_BYTES - 64 * 1024


class Incoming(msgspec.Struct, frozen=True):
    """An event on its way in: the record's JSON, and its id, by which a retry counts once.

    `at_ms` is when it was received, epoch ms.
    """

    tenant_id: str
    customer_id: str
    event_id: str
    record: bytes
    at_ms: int

    @property
    def key(self) -> bytes:
        return customer_key(self.tenant_id, self.customer_id)


async def take(engine: Engine, event: Incoming, forwarded: bool = False) -> Verdict | None:
    """What the fold found of the event; None when it is durable and its fold was not seen.

    Args:
        forwarded: another worker sent it on, and keeps it when this one says that Kafka has it not.

    Raises:
        ElsewhereError: another worker owns the customer; nothing was done.
        ApiError: 413 for what no broker takes; 503 OVERLOADED; 503 when Kafka and the spool took nothing.
    """
    if len(event.record) > RECORD_MAX_BYTES:
        raise too_large(RECORD_MAX_BYTES)
    key = event.key
    lease = None if engine.spool.behind(key) else _lease(engine, event)
    if lease is None:
        await _aside(engine, event, forwarded, certain=True)
        return None
    try:
        with engine.spool.direct(key):
            return await written(engine, lease, EVENTS, event.record, PATIENCE_S)
    except WaitersFullError as error:
        raise overloaded() from error
    except PublishError as error:
        await _aside(engine, event, forwarded, error.certain)
        engine.spool.stall()
    except (TimeoutError, FoldAbandonedError) as error:
        # Kafka has it, and whoever owns the customer folds it.
        log.debug("an event's fold was not seen", event_id=event.event_id, error=repr(error))
    return None


async def take_all(engine: Engine, events: Sequence[Incoming]) -> list[bool | ApiError]:
    """For each event whether Kafka has it, False when the spool has it, or why nobody has.

    Each goes to its partition from here: whoever owns that folds it.
    """
    groups: dict[int, list[int]] = {}
    behind: list[int] = []
    for key, places in _by_key(events).items():
        if engine.spool.behind(key, len(places)):
            behind.extend(places)
        else:
            groups.setdefault(partition_of(key, engine.settings.partitions), []).extend(places)
    outcomes: list[bool | ApiError] = [False] * len(events)

    async def through(partition: int, places: Sequence[int]) -> None:
        outcome = await _publish(engine, partition, [events[place] for place in places])
        for place in places:
            outcomes[place] = outcome

    async def aside(places: Sequence[int]) -> None:
        try:
            await keep(engine, [events[place] for place in places])
        except ApiError as error:
            for place in places:
                outcomes[place] = error

    ways = [through(partition, sorted(places)) for partition, places in groups.items()]
    await asyncio.gather(*ways, *([aside(sorted(behind))] if behind else []))
    return outcomes


async def keep(engine: Engine, events: Sequence[Incoming], certain: bool = True) -> None:
    """Keep events in the spool, in order.

    Args:
        certain: that they are not on Kafka.

    Raises:
        ApiError: 503, they are not in the spool either.
    """
    try:
        await engine.spool.append([Spooled(EVENTS, event.key, event.record, event.at_ms) for event in events])
    except SpoolError as error:
        retry = "retry" if len(events) > 1 else f"retry with eventId {events[0].event_id}"
        told = f"Kafka does not take events now, and neither does the worker's spool ({error})"
        if certain:
            raise not_ready(f"{told}: nothing was recorded; {retry}.") from error
        raise pending(f"{told}: it is unknown whether this was recorded; {retry}.") from error


async def _aside(engine: Engine, event: Incoming, forwarded: bool, certain: bool) -> None:
    """Keep the event here, or leave it to the worker that sent it on."""
    if not forwarded:
        await keep(engine, [event], certain)
    elif certain:
        raise not_ready("The owner did not get it to Kafka: it is the first worker's to keep, or retry.")
    else:
        raise pending("The owner may have got it to Kafka: it is the first worker's to keep, or retry.")


def _lease(engine: Engine, event: Incoming) -> Lease | None:
    """The customer's partition; None while it, or this worker's membership, is not what it must be."""
    try:
        return lease_customer(engine, event.tenant_id, event.customer_id)
    except ApiError:
        return None


def _by_key(events: Sequence[Incoming]) -> dict[bytes, list[int]]:
    places: dict[bytes, list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(event.key, []).append(place)
    return places


async def _publish(engine: Engine, partition: int, events: Sequence[Incoming]) -> bool | ApiError:
    records = [Derived(EVENTS, partition, event.key, event.record) for event in events]
    try:
        with ExitStack() as ways:
            for event in events:
                ways.enter_context(engine.spool.direct(event.key))
            await engine.publisher.deliver(records, PATIENCE_S)
    except PublishError as error:
        try:
            await keep(engine, events, error.certain)
        except ApiError as refused:
            return refused
        engine.spool.stall()
        return False
    return True
