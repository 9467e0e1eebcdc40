"""Faust's Kafka consumer with a message a micro-batch, and with the position kept in the state.

Why: Faust's cost is per message, in its fetcher, conductor, stream and buffers. A message that is a list of
up to a thousand records pays it once (see docs/benchmarks.md). Its offset bookkeeping is wrong for such
messages (a lone record at offset 0 stops commits for ever, a later acknowledgement commits an earlier
chunk), so for them:

1.  The position is the partition's control record. Seeking goes there; the group's committed offset
    follows it, for lag displays only.
2.  Acknowledgements say nothing: at a rebalance the partitions' own tasks are waited for, which end, and
    not the messages, of which one that got lost between Faust's buffers would be waited for without end.
3.  A chunk says which seek it was read under, so that one read before a seek is never folded after it.
4.  A chunk holds a bounded number of records and bytes: what is buffered anywhere is counted in chunks.
5.  Consumers read committed records only, and wait at the broker as long as the settings say (Faust
    hard-codes 1,500 ms and reads uncommitted).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import aiokafka
import msgspec
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from mode.services import Service
from mode.utils.futures import notify

from app.transport import tolerant_records
from app.transport.client_watch import WATCH_S, check_membership
from app.transport.membership import Membership
from tables.client_tasks import stop_client

#: Bytes of keys and values in one chunk; a single record may have more.
CHUNK_BYTES = 1024 * 1024

#: A commit is for displays only: it is waited for so long, in seconds.
COMMIT_S = 2.0

tolerant_records.install()


class Positions(Protocol):
    """Where the state stands; the worker's partitions."""

    async def released(self) -> None:
        """Return once nothing is folded or written any more."""
        ...

    def durable(self) -> Mapping[TP, int]:
        """Next offset of each customer topic partition owned, as the control records have it."""
        ...


class Chunk:
    """Records of one topic partition, in the shape of one record.

    It stands for the offsets [begin, end): those without a record hold none (transaction markers, aborted
    records), and a chunk may be nothing but that. A chunk that begins after its reader's position shows
    that one was lost on the way: Faust drops what it fetched from a partition that was just paused.
    """

    __slots__ = (
        "checksum",
        "headers",
        "key",
        "offset",
        "partition",
        "serialized_key_size",
        "serialized_value_size",
        "timestamp",
        "timestamp_type",
        "topic",
        "value",
    )

    def __init__(self, tp: TP, records: list[Any], begin: int, end: int, size: int, seeks: int) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.offset: int = end - 1
        self.timestamp: int | None = None
        self.timestamp_type: int | None = None
        self.headers: tuple[tuple[str, bytes], ...] = ()
        self.key = None
        self.value = (records, begin, end, size, seeks)
        self.checksum = None
        self.serialized_key_size = -1
        self.serialized_value_size = -1


class ConsumerOptions(msgspec.Struct, frozen=True):
    """What the worker chooses: which topics come in chunks, how large, and how long a fetch waits."""

    chunked: frozenset[str]
    chunk_records: int
    fetch_wait_ms: int
    positions: Positions
    membership: Membership


class MicroBatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to Kafka. It fetches, and says how far each fetch went."""

    mundane_level = "debug"

    options: ConsumerOptions

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = self.options.fetch_wait_ms
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        self.options.membership.watch(self._ensure_consumer()._coordinator)

    @Service.task
    async def _watch_client(self) -> None:
        while not self.should_stop:
            await self.sleep(WATCH_S)
            if self._consumer is not None and not self._consumer._closed:
                check_membership(self._consumer)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Changelogs are read by the recovery's own reader; fetching them here would only fill buffers.
        changelogs = [tp for tp in assigned if tp.topic not in self.options.chunked]
        if changelogs:
            self._ensure_consumer().pause(*map(driver.ensure_aiokafka_TP, changelogs))
        await super().on_partitions_assigned(assigned, generation_id)

    def close(self) -> None:
        """Nothing: stopping this thread closes its client.

        Faust calls this when a rebalance meets a stop, and would close the client in the worker's event loop.
        It belongs to this thread's: the process died of it, now and then (a segmentation fault in uvloop).
        """

    async def on_thread_stop(self) -> None:
        # Not Faust's own, which stops the client too: this one may have ended, or have no broker.
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await stop_client(self._consumer)

    async def _fetch_records(  # type: ignore[override]  # handed to our own consumer only
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, tuple[list[Any], int, int]]:
        before = self._read_positions(consumer, active_partitions)
        fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        after = self._read_positions(consumer, active_partitions)
        moved: dict[TP, tuple[list[Any], int, int]] = {
            tp: ([], before[tp], end) for tp, end in after.items() if end > before.get(tp, end)
        }
        records: dict[TP, tuple[list[Any], int, int]] = {}
        for fetched_tp, found in fetched.items():
            tp, first, last = ensure_TP(fetched_tp), found[0].offset, found[-1].offset
            records[tp] = (found, min(before.get(tp, first), first), max(after.get(tp, 0), last + 1))
        return {**moved, **records}

    def _read_positions(self, consumer: aiokafka.AIOKafkaConsumer, tps: set[TP] | None) -> dict[TP, int]:
        subscription = consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return {}
        positions: dict[TP, int] = {}
        for tp in tps or ():
            if tp.topic in self.options.chunked and tp in subscription.assignment.tps:
                state = subscription.assignment.state_value(tp)
                if state.has_valid_position:
                    positions[tp] = state.position
        return positions


class MicroBatchConsumer(driver.Consumer):
    """Groups the customer topics' records into chunks, and takes positions from the state."""

    mundane_level = "debug"

    transport: MicroBatchTransport

    def __post_init__(self) -> None:
        self._seeks: dict[TP, int] = {}

    def _new_consumer_thread(self) -> MicroBatchConsumerThread:
        # Its event loop is of the worker's kind: uvloop's where there is one.
        thread_loop = type(self.loop)()
        thread = MicroBatchConsumerThread(self, loop=self.loop, thread_loop=thread_loop, beacon=self.beacon)
        thread._close_thread_loop_on_stop = True
        thread.options = self.transport.options
        return thread

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        fetched = await self._thread.getmany(active_partitions, timeout)
        return {tp: self._chunks(tp, *found) for tp, found in fetched.items()}

    def _chunks(self, tp: TP, records: list[Any], begin: int, end: int) -> list[Any]:
        options = self.transport.options
        if tp.topic not in options.chunked:
            return records
        seeks = self.seeks(tp)
        chunks, part, size = [], list[Any](), 0
        for record in records:
            weight = max(record.serialized_key_size, 0) + max(record.serialized_value_size, 0)
            if part and (len(part) >= options.chunk_records or size + weight > CHUNK_BYTES):
                part_end = part[-1].offset + 1
                chunks.append(Chunk(tp, part, begin, part_end, size, seeks))
                begin, part, size = part_end, [], 0
            part.append(record)
            size += weight
        chunks.append(Chunk(tp, part, begin, end, size, seeks))
        return chunks

    def seeks(self, tp: TP) -> int:
        """How often this partition was seeked; a chunk of another count is stale."""
        return self._seeks.get(tp, 0)

    async def seek_to(self, positions: Mapping[TP, int]) -> None:
        """Read on from these offsets. Chunks read before are stale from now on."""
        await self.seek_wait(positions)
        for tp in positions:
            self._seeks[tp] = self._seeks.get(tp, 0) + 1

    async def perform_seek(self) -> None:
        """Nothing: each partition is seeked when it has recovered, to where its state stands."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: offsets that hold no record are no gap in the state's position."""

    def ack(self, message: Message) -> bool:
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Tell the group how far the state has come, for lag displays."""
        assigned = self.assignment()
        offsets = {
            tp: offset
            for tp, offset in self.transport.options.positions.durable().items()
            if tp in assigned and offset > (self._committed_offset[tp] or 0)
        }
        if not offsets:
            return False
        try:
            async with asyncio.timeout(COMMIT_S):
                done: bool = await self._commit(offsets)
        except TimeoutError:
            return False
        if done:
            self._committed_offset.update(offsets)
        return done

    async def wait_empty(self) -> None:
        """Wait until the partitions' tasks have ended, then tell the group how far they came."""
        await self.transport.options.positions.released()
        self._unacked_messages.clear()
        await self.commit_and_end_transactions()

    def heard_ms(self, tp: TP) -> int:
        """When Kafka last answered a fetch of this partition, epoch milliseconds; 0 when it never did."""
        consumer = self._thread._ensure_consumer()
        try:
            return int(consumer.last_poll_timestamp(driver.ensure_aiokafka_TP(tp)) or 0)
        except (AssertionError, KeyError):
            return 0  # moves right now

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's detector watches its own offsets, which chunks do not move."""


class MicroBatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above. `options` are set before it is used."""

    Consumer = MicroBatchConsumer
    options: ConsumerOptions
