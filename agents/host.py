"""Taking, holding and losing the partitions of this worker.

Taking one: open its store → read the changelog back into it → ask the customer topics for their ends → seek
them to the state's position → fold up to those ends → ready. Whatever breaks it (Kafka away, a full disk, a
foreign write in the changelog) sends it back to the beginning, alone, with back-off; what this worker has in
memory is dropped before, so nothing unfounded is ever answered or written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import structlog
from aiokafka.errors import KafkaError

from agents.fold_loop import ChunkGapError, FoldLoop
from agents.folder import Folder, RecordFailedError
from agents.inbox import Chunk
from agents.source import Source
from app.decision.catalogue import CatalogSnapshot
from config.metrics import Metrics
from config.settings import Settings
from config.topics import CUSTOMER_TOPICS, DELETE_RETENTION_MS, changelog_topic, topic_names
from tables.changelog import (
    ChangelogReader,
    ChangelogWriter,
    LandedElsewhereError,
    StoreAheadError,
    take_back,
)
from tables.codec import MissingValueError
from tables.marks import MarkReader, TopicChangedError
from tables.partition import Partition, Partitions, Phase
from tables.publisher import Publisher
from tables.store import PartitionStore, StoreError, StoreMemory, remove_store

#: Changelogs read back at the same time.
RECOVERIES = 4

#: A partition whose inbox is full holds up the agent of a topic, and so the others, at most this long, in
#: seconds.
ROOM_S = 2.0

#: A partition that failed is tried again after this long, doubling up to the most, in seconds.
BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 10.0

#: Folding a record is tried this often.
_FOLD_TRIES = 2

log = structlog.get_logger(__name__)


class StoreTooOldError(Exception):
    """The store missed deletions that the changelog no longer has. It must be rebuilt."""


class Held(msgspec.Struct):
    """A partition being taken or held: what runs for it.

    `rebuild` says that the store's files must go before it is opened again. `failures` counts how often
    folding a record failed, by (topic index, offset); those in `poison` are not tried again.
    """

    partition: Partition
    task: asyncio.Task[None]
    loop: FoldLoop | None = None
    store: PartitionStore | None = None
    rebuild: bool = False
    failures: dict[tuple[int, int], int] = {}
    poison: set[tuple[int, int]] = set()


class Host:
    """The partitions of one worker."""

    def __init__(
        self,
        settings: Settings,
        partitions: Partitions,
        publisher: Publisher,
        catalogue: Callable[[], CatalogSnapshot],
        catalogue_ready: Callable[[], Awaitable[None]],
        metrics: Metrics,
        origin_id: str,
    ) -> None:
        self._settings = settings
        self._partitions = partitions
        self._publisher = publisher
        self._catalogue = catalogue
        self._catalogue_ready = catalogue_ready
        self._metrics = metrics
        self._origin_id = origin_id
        self._memory = StoreMemory(settings.rocksdb_cache_bytes, settings.rocksdb_write_buffer_bytes)
        self._topic = changelog_topic(settings.app_id)
        self._reader = ChangelogReader(self._topic, settings.bootstrap_servers, metrics)
        names = topic_names(settings.app_id)
        self._marks = MarkReader([names[name] for name in CUSTOMER_TOPICS], settings.bootstrap_servers)
        self._recoveries = asyncio.Semaphore(RECOVERIES)
        self._held: dict[int, Held] = {}
        self.source: Source | None = None

    def take(self, numbers: Iterable[int]) -> None:
        """Begin to hold these partitions. Those still held from before must have been released."""
        for number in sorted(numbers):
            partition = self._partitions.own(number)
            task = asyncio.create_task(self._hold(partition), name=f"partition-{number}")
            self._held[number] = Held(partition, task)

    def lose(self) -> None:
        """Stop answering and folding at once; `released` waits for the batches in hand."""
        for number, held in self._held.items():
            self._metrics.partition_ready.labels(str(number)).set(0)
            held.partition.phase = Phase.STOPPED
            held.partition.reason = "the partition moves"
            held.partition.waiters.abandon("the partition moves to another worker")
            if held.loop is None:
                held.task.cancel()
            else:
                held.loop.stop()

    async def released(self) -> None:
        """All partitions are let go and their stores closed."""
        held = dict(self._held)
        if held:
            await asyncio.wait([each.task for each in held.values()])
        for number, each in held.items():
            # Only now: until its task has ended, a partition's store is open and is its task's to close.
            if self._held.get(number) is each:
                del self._held[number]
                self._partitions.release(number, "the partition moves")

    async def offer(self, number: int, chunk: Chunk) -> None:
        """Hand a chunk to its partition, waiting a little for room; dropped when nobody here folds it."""
        held = self._held.get(number)
        if held is None or held.loop is None:
            chunk.done()
            return
        if not await held.loop.inbox.put(chunk, ROOM_S) and self.source is not None:
            self.source.pause(number)
            log.warning("a partition cannot keep up, fetching it pauses", partition=number)

    def durable(self) -> Mapping[tuple[int, int], int]:
        """Next offset by (topic index, partition), as the control records have it."""
        return {
            (topic, held.partition.number): offset
            for held in self._held.values()
            if held.partition.store is not None
            for topic, offset in enumerate(held.partition.control.positions)
        }

    async def _hold(self, partition: Partition) -> None:
        held_from, delay_s = time.monotonic(), BACKOFF_FIRST_S
        while True:
            try:
                await self._recover_and_fold(partition)
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, the partition recovers from the log
                self._fail(partition, error)
                if time.monotonic() - held_from > 10 * BACKOFF_MOST_S:
                    held_from, delay_s = time.monotonic(), BACKOFF_FIRST_S
            finally:
                self._close(partition)
            if partition.phase is Phase.STOPPED:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, BACKOFF_MOST_S)

    async def _recover_and_fold(self, partition: Partition) -> None:
        settings, number = self._settings, partition.number
        source = self.source
        assert source is not None
        writer = ChangelogWriter(
            self._topic,
            number,
            settings.bootstrap_servers,
            settings.idempotent_producer,
            settings.publish_timeout_ms,
            self._metrics,
        )
        partition.phase, partition.reason = Phase.RECOVERING, "waiting for its turn to recover"
        await writer.start()
        try:
            async with self._recoveries:
                end = await self._recover(partition, writer)
            partition.reason = "waiting for the catalogue"
            await self._catalogue_ready()
            bounds = await source.bounds(number)
            await self._check_topics(partition, bounds)
            held = self._held[number]
            loop = FoldLoop(
                partition=partition,
                folder=Folder(partition, settings.partitions, self._origin_id, self._metrics, held.poison),
                writer=writer,
                publisher=self._publisher,
                catalogue=self._catalogue,
                clock_ms=_wall_ms,
                metrics=self._metrics,
                batch_records=settings.batch_max_records,
                trace_retention_ms=settings.trace_retention_ms,
                # The embedded broker does not tell a log's end rightly.
                expected_offset=end if settings.idempotent_producer else None,
                source=source,
                ends={topic: end for topic, (_, end) in bounds.items()},
            )
            await source.resume(number, dict(enumerate(partition.positions)))
            # Only now: a chunk read before the seek is none of its business.
            held.loop = loop
            partition.phase, partition.reason = Phase.FOLDING, "folding what came meanwhile"
            await loop.run()
        finally:
            await writer.stop()

    async def _recover(self, partition: Partition, writer: ChangelogWriter) -> int:
        """Bring the store level with its changelog and attach it; returns where the changelog ends."""
        number, held = partition.number, self._held[partition.number]
        partition.reason = "reading its changelog"
        started = time.monotonic()
        if held.rebuild:
            await asyncio.to_thread(remove_store, self._store_path(number))
            held.rebuild = False
            self._metrics.recoveries_total.labels("rebuilt").inc()
        held.store = store = PartitionStore(self._store_path(number), self._memory)
        idle_ms = _wall_ms() - store.control().now_ms
        if store.offset >= 0 and idle_ms > DELETE_RETENTION_MS:
            raise StoreTooOldError(f"the store was last written {idle_ms} ms ago")
        if not self._settings.idempotent_producer:
            # The embedded broker cannot say where a log ends. It lives as long as this process, which is
            # its only writer: what the store holds is what the changelog holds.
            partition.attach(store)
            return store.offset + 1
        recovered = await self._reader.recover(store, number)
        end = await take_back(writer, store, recovered)
        partition.attach(store)
        log.info(
            "partition recovered",
            partition=number,
            records=recovered.applied,
            taken_back=len(recovered.torn),
            seconds=round(time.monotonic() - started, 3),
        )
        return end

    async def _check_topics(self, partition: Partition, bounds: Mapping[int, tuple[int, int]]) -> None:
        """Pass over records that a topic no longer keeps, and say so.

        Raises:
            TopicChangedError: a topic is not the one that was folded.
        """
        # The embedded broker does not tell a log's end rightly.
        if self._settings.idempotent_producer:
            await self._marks.check(partition.number, partition.control.marks, bounds)
        for topic, (begin, _) in bounds.items():
            position = partition.positions[topic]
            if position >= begin:
                continue
            partition.positions[topic] = begin
            if position > 0:
                name = CUSTOMER_TOPICS[topic]
                log.error("records expired before they were folded", topic=name, first=position, next=begin)

    def _fail(self, partition: Partition, error: Exception) -> None:
        number, held = partition.number, self._held[partition.number]
        reason = type(error).__name__
        self._metrics.partition_ready.labels(str(number)).set(0)
        self._metrics.batch_failures_total.labels(reason).inc()
        self._metrics.recoveries_total.labels("failed").inc()
        log.error(
            "partition stopped, recovering",
            partition=number,
            error=repr(error),
            exc_info=not isinstance(error, _EXPECTED),
        )
        if self.source is not None:
            self.source.pause(number)
        if partition.phase is not Phase.STOPPED:
            partition.phase = Phase.RECOVERING
        partition.reason = f"stopped by {reason}: {error}"
        held.loop = None
        if isinstance(error, RecordFailedError):
            record = (error.topic, error.offset)
            held.failures[record] = held.failures.get(record, 0) + 1
            if held.failures[record] >= _FOLD_TRIES:
                held.poison.add(record)
        damaged = isinstance(error, StoreError) and error.damaged
        held.rebuild = held.rebuild or damaged or isinstance(error, _REBUILD)

    def _close(self, partition: Partition) -> None:
        partition.drop(partition.reason)
        held = self._held.get(partition.number)
        if held is not None and held.store is not None:
            held.store.close()
            held.store = None

    def _store_path(self, number: int) -> Path:
        return self._settings.data_dir / self._settings.app_id / "stores" / f"{number}.db"


#: Failures that say themselves what happened.
_EXPECTED = (
    KafkaError,
    OSError,
    StoreError,
    ChunkGapError,
    TopicChangedError,
    LandedElsewhereError,
    StoreAheadError,
)
#: Failures after which the store's files are worthless.
_REBUILD = (LandedElsewhereError, StoreAheadError, StoreTooOldError, MissingValueError)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
