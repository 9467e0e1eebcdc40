"""Faust's Kafka consumer with a message a micro-batch, and with the position kept in the state.

Why: Faust's cost is per message, in its fetcher, conductor, stream and buffers. A message that is a list of
up to a thousand records pays it once (see docs/benchmarks.md). Its offset bookkeeping is wrong for such
messages (a lone record at offset 0 stops commits for ever, a later acknowledgement commits an earlier
chunk), so for them:

1.  The position is the partition's control record. Seeking goes there; the group's committed offset
    follows it, for lag displays only.
2.  Acknowledgements only say that a message is no longer in anyone's hands, for the wait at a rebalance.
3.  A chunk says which seek it was read under, so that one read before a seek is never folded after it.
4.  Consumers read committed records only, and wait at the broker as long as the settings say (Faust
    hard-codes 1,500 ms and reads uncommitted).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import aiokafka
import msgspec
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from mode.utils.futures import notify


class Positions(Protocol):
    """Where the state stands; the worker's partitions."""

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

    def __init__(self, tp: TP, records: list[Any], begin: int, end: int, seeks: int) -> None:
        self.topic: str = tp.topic
        self.partition: int = tp.partition
        self.offset: int = end - 1
        self.timestamp: int | None = None
        self.timestamp_type: int | None = None
        self.headers: tuple[tuple[str, bytes], ...] = ()
        self.key = None
        self.value = (records, begin, end, seeks)
        self.checksum = None
        self.serialized_key_size = -1
        self.serialized_value_size = -1


class ConsumerOptions(msgspec.Struct, frozen=True):
    """What the worker chooses: which topics come in chunks, how large, and how long a fetch waits."""

    chunked: frozenset[str]
    chunk_records: int
    fetch_wait_ms: int
    positions: Positions


class MicroBatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to Kafka. It fetches, and says how far each fetch went."""

    mundane_level = "debug"

    options: ConsumerOptions

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = self.options.fetch_wait_ms
        return consumer

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Changelogs are read by the recovery's own reader; fetching them here would only fill buffers.
        changelogs = [tp for tp in assigned if tp.topic not in self.options.chunked]
        if changelogs:
            self._ensure_consumer().pause(*map(driver.ensure_aiokafka_TP, changelogs))
        await super().on_partitions_assigned(assigned, generation_id)

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
        size, seeks = options.chunk_records, self.seeks(tp)
        chunks = []
        for start in range(0, len(records), size):
            part = records[start : start + size]
            part_end = end if start + size >= len(records) else part[-1].offset + 1
            chunks.append(Chunk(tp, part, begin, part_end, seeks))
            begin = part_end
        return chunks or [Chunk(tp, [], begin, end, seeks)]

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
        done: bool = await self._commit(offsets)
        if done:
            self._committed_offset.update(offsets)
        return done

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's detector watches its own offsets, which chunks do not move."""


class MicroBatchTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer above. `options` are set before it is used."""

    Consumer = MicroBatchConsumer
    options: ConsumerOptions
