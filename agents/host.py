"""Taking, holding and losing the partitions of this worker.

How one is taken is in `taking`. Whatever breaks it (Kafka away, a full disk, a
foreign write in the changelog) sends it back to the beginning, alone, with back-off; what this worker has in
memory is dropped before, so nothing unfounded is ever answered or written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog
from aiokafka.errors import KafkaError

from agents.fold_loop import ChunkGapError, FoldLoop
from agents.folder import Folder, RecordFailedError
from agents.held import Held
from agents.inbox import Chunk
from agents.sharing import Sharing
from agents.source import Source
from agents.standbys import Standbys
from agents.stores import Stores
from agents.taking import Taker
from app.decision.catalogue import CatalogSnapshot
from config.boot_clock import boot_s
from config.metrics import Metrics
from config.settings import Settings
from tables.changelog import LandedElsewhereError, StoreAheadError, StoreTooOldError
from tables.codec import MissingValueError
from tables.marks import TopicChangedError
from tables.partition import Partition, Phase
from tables.partitions import Partitions
from tables.publisher import Publisher, PublishError
from tables.store import StoreError

#: A partition whose inbox is full holds up the agent of a topic, and so the others, at most this long, in
#: seconds.
ROOM_S = 2.0

#: A partition that failed is tried again after this long, doubling up to the most, in seconds.
BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 10.0

log = structlog.get_logger(__name__)


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
        self._metrics = metrics
        self._origin_id = origin_id
        stores = Stores(settings)
        self._taker = Taker(settings, stores, catalogue_ready, metrics, _wall_ms)
        self.standbys = Standbys(settings, stores, metrics, _wall_ms)
        self._held: dict[int, Held] = {}
        self.source: Source | None = None

    def take(self, numbers: Iterable[int], standbys: Iterable[int]) -> None:
        """Hold these partitions from now on, and copy the others. Those of before must have been released."""
        for number in sorted(numbers):
            partition = self._partitions.own(number)
            store, outdated = self.standbys.hand_over(number)
            task = asyncio.create_task(self._hold(partition), name=f"partition-{number}")
            self._held[number] = Held(partition, task, store=store, rebuild=outdated)
        self.standbys.follow(standbys)

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
                # A task that was cancelled before its first step has closed nothing.
                self._close(each.partition)
                del self._held[number]
                self._partitions.release(number, "the partition moves")

    async def stop(self) -> None:
        """Copy nothing any more. What was held must have been released."""
        await self.standbys.stop()

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
                await self._take_and_fold(partition)
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

    async def _take_and_fold(self, partition: Partition) -> None:
        settings, number = self._settings, partition.number
        held, source = self._held[number], self.source
        assert source is not None
        producer = self._taker.producer(number)
        try:
            taken = await self._taker.take(held, producer, source)
            loop = FoldLoop(
                partition=partition,
                folder=Folder(partition, settings.partitions, self._origin_id, self._metrics, held.poison),
                writer=taken.writer,
                publisher=self._publisher,
                catalogue=self._catalogue,
                clock_ms=_wall_ms,
                metrics=self._metrics,
                batch_records=settings.batch_max_records,
                expected_offset=taken.changelog_end,
                source=source,
                ends=taken.ends,
            )
            await source.resume(number, dict(enumerate(partition.positions)))
            # Only now: a chunk read before the seek is none of its business.
            held.loop = loop
            partition.phase, partition.reason = Phase.FOLDING, "folding what came meanwhile"
            await self._share_while(partition, loop)
        except BaseException:
            # At once: stopping the producer takes time, in which nothing may be answered any more.
            if partition.phase is not Phase.STOPPED:
                partition.phase = Phase.RECOVERING
            raise
        finally:
            await producer.stop()

    async def _share_while(self, partition: Partition, loop: FoldLoop) -> None:
        """Fold, and meanwhile do the partition's part in what is counted across customers."""
        sharing = Sharing(
            partition, self._settings.partitions, self._publisher, self._catalogue, _wall_ms, self._metrics
        )
        task = asyncio.create_task(sharing.run(), name=f"sharing-{partition.number}")
        try:
            await loop.run()
        finally:
            task.cancel()

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
        partition.reason = f"stopped by {reason}: {error}"
        held.loop = None
        held.failed_s = boot_s()
        if isinstance(error, RecordFailedError):
            held.note_failed_record(error.topic, error.offset)
        damaged = isinstance(error, StoreError) and error.damaged
        held.rebuild = held.rebuild or damaged or isinstance(error, _REBUILD)

    def _close(self, partition: Partition) -> None:
        partition.drop(partition.reason)
        held = self._held.get(partition.number)
        if held is not None and held.store is not None:
            held.store.close()
            held.store = None


#: Failures that say themselves what happened.
_EXPECTED = (
    PublishError,
    KafkaError,
    OSError,
    StoreError,
    ChunkGapError,
    TopicChangedError,
    LandedElsewhereError,
    StoreAheadError,
    StoreTooOldError,
)
#: Failures after which the store's files are worthless.
_REBUILD = (LandedElsewhereError, StoreAheadError, StoreTooOldError, MissingValueError)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
