"""A partition's changelog: appended batch by batch, read back to recover.

Rules:

1.  A batch goes out as one Kafka batch where it fits, else as several, one after the other, its control
    record last. Changes that belong together (one customer's) are never torn.
2.  We are the only writer: each batch must land right after our last record. Elsewhere means that another
    wrote, and that the store must be rebuilt.
3.  Recovery applies what continues the store's own position, in the log's order, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from config.metrics import Metrics
from config.topics import MESSAGE_MAX_BYTES
from tables.codec import Change
from tables.partition import Batch
from tables.store import PartitionStore

#: Kafka batches aim at this size; a single group may be larger, up to the message bound.
BATCH_BYTES = 900 * 1024

#: Changelog records applied in one store write during recovery.
RECOVERY_RECORDS = 5_000


class LandedElsewhereError(Exception):
    """A batch landed at another offset than ours must: another writer. The store must be rebuilt."""


class ChangelogWriter:
    """Appends one partition's batches. A new one for each taking of the partition."""

    def __init__(
        self,
        topic: str,
        partition: int,
        bootstrap: Sequence[str],
        idempotent: bool,
        timeout_ms: int,
        metrics: Metrics,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self._metrics = metrics
        self._producer_arguments = {
            "bootstrap_servers": list(bootstrap),
            "acks": "all",
            "enable_idempotence": idempotent,
            "max_request_size": MESSAGE_MAX_BYTES,
            "max_batch_size": MESSAGE_MAX_BYTES - 64 * 1024,
            "request_timeout_ms": timeout_ms,
            "retry_backoff_ms": 50,
        }
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        producer = AIOKafkaProducer(**self._producer_arguments)
        await producer.start()
        self._producer = producer

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

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
        producer = self._producer
        if producer is None:
            raise RuntimeError("the changelog producer is stopped")
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
    for group in batch.groups:
        weight = sum(len(key) + len(value or b"") + 16 for key, value in group)
        if part and size + weight > BATCH_BYTES:
            parts.append(part)
            part, size = [], 0
        part.extend(group)
        size += weight
    part.append(batch.control_change)
    parts.append(part)
    return parts


class ChangelogReader:
    """Reads changelog partitions back into their stores, outside any consumer group."""

    def __init__(self, topic: str, bootstrap: Sequence[str], metrics: Metrics) -> None:
        self.topic = topic
        self._bootstrap = list(bootstrap)
        self._metrics = metrics

    async def recover(self, store: PartitionStore, partition: int) -> tuple[int, int]:
        """Bring the store level with the changelog; returns its end offset and the records applied.

        Raises:
            StoreAheadError: the store has records the log has not: it must be rebuilt.
            StoreGapError, OSError: a write failed; the store must not be used.
        """
        tp = TopicPartition(self.topic, partition)
        consumer = self._consumer()
        await consumer.start()
        try:
            consumer.assign([tp])
            begin = int((await consumer.beginning_offsets([tp]))[tp])
            end = int((await consumer.end_offsets([tp]))[tp])
            if store.offset >= end:
                raise StoreAheadError(f"store at {store.offset}, changelog ends at {end}")
            applied = 0
            position = max(store.offset + 1, begin)
            consumer.seek(tp, position)
            while position < end:
                fetched = await consumer.getmany(tp, timeout_ms=1_000, max_records=RECOVERY_RECORDS)
                records = fetched.get(tp, [])
                if records:
                    changes = [(record.key, record.value) for record in records]
                    store.apply(changes, records[0].offset, records[-1].offset)
                    applied += len(records)
                    self._metrics.recovery_records_total.inc(len(records))
                position = await consumer.position(tp)
            return end, applied
        finally:
            await consumer.stop()

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MESSAGE_MAX_BYTES,
            fetch_max_wait_ms=50,
        )


class StoreAheadError(Exception):
    """The store holds records that the changelog does not: the log was re-created. Rebuild the store."""
