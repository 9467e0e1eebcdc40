"""A partition's changelog: appended batch by batch, read back to recover.

Rules:

1.  A batch goes out as one Kafka batch where it fits, else as several, one after the other, its control
    record last: what no control record follows is a batch torn by a crash, and never happened.
2.  We are the only writer (see `fencing`): each batch must land right after our last record. Elsewhere means
    that another wrote all the same, and that the store must be rebuilt.
3.  Recovery applies what continues the store's own position, in the log's order, up to the last control
    record. A torn batch behind it is then taken back in the log itself, key by key, since compaction keeps
    the last value of a key whether or not a control record followed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.metrics import Metrics
from tables.clients import lone_consumer
from tables.codec import Change
from tables.fencing import PartitionProducer
from tables.layout import CONTROL_KEY, FENCE_KEY
from tables.partition import Batch
from tables.store import PartitionStore

#: A batch up to this size is one Kafka batch, which lands whole or not at all; hardly any is larger. A single
#: value may be, up to the message bound.
BATCH_BYTES = 7 * 1024 * 1024

#: Changelog records applied in one store write during recovery.
RECOVERY_RECORDS = 5_000

#: The last control record is looked for in so many records from the end first, then in more.
TAIL_RECORDS = 4_096

#: How long a fetch of recovery waits at the broker for records, in milliseconds.
FETCH_WAIT_MS = 50


class LandedElsewhereError(Exception):
    """A batch landed at another offset than ours must: another writer. The store must be rebuilt."""


class ChangelogWriter:
    """Appends one partition's batches. A new one for each taking of the partition."""

    def __init__(self, topic: str, partition: int, producer: PartitionProducer, metrics: Metrics) -> None:
        self.topic = topic
        self.partition = partition
        self._producer = producer
        self._metrics = metrics

    async def append(self, batch: Batch, expected: int | None) -> tuple[int, int]:
        """First and last offset of the batch, once it is acknowledged.

        Args:
            batch: its changes.
            expected: the offset it must land at; None when not known yet (an empty embedded broker).

        Raises:
            LandedElsewhereError: another writes to this partition.
            aiokafka.errors.KafkaError: not acknowledged; it may have landed.
        """
        first = -1
        last = -1
        for part in _parts(batch):
            base = await self._send(part, batch.control.now_ms)
            if expected is not None and base != expected:
                raise LandedElsewhereError(
                    f"{self.topic} {self.partition}: a batch landed at {base}, ours had to at {expected}"
                )
            first = base if first < 0 else first
            last = base + len(part) - 1
            expected = last + 1
        return first, last

    async def _send(self, part: list[Change], now_ms: int) -> int:
        producer = self._producer.kafka
        builder = producer.create_batch()
        size = 0
        for key, value in part:
            if builder.append(key=key, value=value, timestamp=now_ms) is None:
                raise ValueError(
                    f"a change of {len(key) + len(value or b'')} bytes does not fit a Kafka batch"
                )
            size += len(key) + len(value or b"")
        builder.close()
        acknowledged = await producer.send_batch(builder, self.topic, partition=self.partition)
        metadata = await acknowledged
        self._metrics.changelog_records_total.inc(len(part))
        self._metrics.changelog_bytes_total.inc(size)
        return int(metadata.offset)


def _parts(batch: Batch) -> list[list[Change]]:
    parts: list[list[Change]] = []
    part: list[Change] = []
    size = 0
    for key, value in batch.changes:
        weight = len(key) + len(value or b"") + 16
        if part and size + weight > BATCH_BYTES:
            parts.append(part)
            part, size = [], 0
        part.append((key, value))
        size += weight
    parts.append(part)
    return parts


class Recovered(msgspec.Struct, frozen=True):
    """What reading a changelog back found: its end, how many changes were applied, keys of a torn batch."""

    end: int
    applied: int
    torn: tuple[bytes, ...]


class ChangelogReader:
    """Reads changelog partitions back into their stores, outside any consumer group."""

    def __init__(self, topic: str, bootstrap: Sequence[str], metrics: Metrics) -> None:
        self.topic = topic
        self._bootstrap = list(bootstrap)
        self._metrics = metrics

    async def recover(
        self,
        store: PartitionStore,
        partition: int,
        note_left: Callable[[int], None] = lambda left: None,
        oldest_ms: int = 0,
    ) -> Recovered:
        """Bring the store level with the changelog's last whole batch.

        Args:
            store: open; its position is where reading begins.
            partition: its number.
            note_left: told now and then how many offsets are left to read.
            oldest_ms: a store that was last level before, epoch ms, and has anything to read, may have missed
                deletions that the changelog no longer has.

        Raises:
            StoreAheadError: the store has records the log has not: it must be rebuilt.
            StoreTooOldError: it must be rebuilt; nothing was written, so that it says so again next time.
            StoreGapError, StoreError: a write failed; the store must not be used.
        """
        tp = TopicPartition(self.topic, partition)
        async with lone_consumer(self._bootstrap, FETCH_WAIT_MS) as consumer:
            consumer.assign([tp])
            begin = int((await consumer.beginning_offsets([tp]))[tp])
            end = int((await consumer.end_offsets([tp]))[tp])
            if store.offset >= end:
                raise StoreAheadError(f"store at {store.offset}, changelog ends at {end}")
            begin = max(store.offset + 1, begin)
            whole, torn = await _last_batch(consumer, tp, begin, end)
            if whole > begin and store.level_ms is not None and store.level_ms < oldest_ms:
                raise StoreTooOldError(
                    f"the store was last level {oldest_ms - store.level_ms} ms too long ago"
                )
            applied = 0
            async for records in _read(consumer, tp, begin, whole):
                changes = [(record.key, record.value) for record in records if record.key != FENCE_KEY]
                store.apply(changes, records[0].offset, records[-1].offset)
                applied += len(changes)
                self._metrics.recovery_records_total.inc(len(records))
                note_left(end - records[-1].offset - 1)
            return Recovered(end, applied, torn)


async def _last_batch(
    consumer: AIOKafkaConsumer, tp: TopicPartition, begin: int, end: int
) -> tuple[int, tuple[bytes, ...]]:
    """Where the last whole batch ends, `begin` when there is none; and the keys of what is behind it."""
    look_back = TAIL_RECORDS
    while True:
        start = max(begin, end - look_back)
        whole, torn = begin, dict[bytes, None]()
        async for records in _read(consumer, tp, start, end):
            for record in records:
                if record.key == CONTROL_KEY:
                    whole = record.offset + 1
                    torn.clear()
                elif record.key != FENCE_KEY:
                    torn[record.key] = None
        if whole > begin or start == begin:
            return whole, tuple(torn)
        look_back *= 8


async def _read(
    consumer: AIOKafkaConsumer, tp: TopicPartition, position: int, end: int
) -> AsyncIterator[list[Any]]:
    """The records from `position` up to `end`, in lists that are never empty."""
    consumer.seek(tp, position)
    while position < end:
        fetched = await consumer.getmany(tp, timeout_ms=1_000, max_records=RECOVERY_RECORDS)
        records = [record for record in fetched.get(tp, ()) if record.offset < end]
        if records:
            yield records
        position = await consumer.position(tp)


async def take_back(writer: ChangelogWriter, store: PartitionStore, recovered: Recovered) -> int:
    """Give every key of a torn batch its value of before, in the log and the store; returns the log's end.

    Raises:
        LandedElsewhereError, aiokafka.errors.KafkaError: as of `ChangelogWriter.append`.
    """
    if not recovered.torn:
        return recovered.end
    control = store.control()
    undone = msgspec.structs.replace(control, batch=control.batch + 1, folded=())
    batch = Batch([(key, store.get(key)) for key in recovered.torn], undone)
    first, last = await writer.append(batch, recovered.end)
    store.apply(batch.changes, first, last)
    return last + 1


class StoreTooOldError(Exception):
    """The store may have missed deletions that the changelog no longer has. It must be rebuilt."""


class StoreAheadError(Exception):
    """The store holds records that the changelog does not: the log was re-created. Rebuild the store."""
