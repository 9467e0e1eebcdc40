"""Bringing a partition to the point where it can be folded.

The order, each step founded on the one before: the group confirms that the partition is ours → a new
producer epoch → fence records on changelog and `decisions` (nothing of an earlier owner lands behind them) →
the store is opened and brought level with the changelog up to the fence, a torn batch taken back → catalogue,
scoreboard → the ends of the customer topics, and whether they still are the topics that were folded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog

from agents.held import Held
from agents.source import Source
from agents.stores import Stores
from config.metrics import Metrics
from config.settings import Settings
from config.topics import (
    DECISIONS,
    DELETE_RETENTION_MS,
    SOURCE_TOPICS,
    changelog_topic,
    topic_names,
)
from tables.changelog import ChangelogReader, ChangelogWriter, take_back
from tables.fencing import PartitionProducer
from tables.marks import MarkReader
from tables.partition import Partition, Phase

#: Changelogs read back at the same time.
RECOVERIES = 4

#: How often a long recovery says in the log how far it is, in seconds.
PROGRESS_S = 5.0

log = structlog.get_logger(__name__)


class Taken(msgspec.Struct, frozen=True):
    """A partition ready to be folded.

    `changelog_end` is where its first batch must land, None when the broker cannot say; `ends` the offsets to
    fold up to before it is ready, by topic index.
    """

    writer: ChangelogWriter
    changelog_end: int | None
    ends: Mapping[int, int]


class Taker:
    """Takes the partitions of one worker.

    Args:
        catalogue_ready: returns once catalogue and scoreboard are read.
        wall_ms: epoch milliseconds.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        catalogue_ready: Callable[[], Awaitable[None]],
        metrics: Metrics,
        wall_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._catalogue_ready = catalogue_ready
        self._metrics = metrics
        self._wall_ms = wall_ms
        self._changelog = changelog_topic(settings.app_id)
        names = topic_names(settings.app_id)
        self._decisions = names[DECISIONS]
        self._reader = ChangelogReader(self._changelog, settings.bootstrap_servers, metrics)
        self._marks = MarkReader([names[name] for name in SOURCE_TOPICS], settings.bootstrap_servers)
        self._recoveries = asyncio.Semaphore(RECOVERIES)

    def producer(self, number: int) -> PartitionProducer:
        """The producer of one taking, not started. The embedded broker knows no epochs."""
        settings = self._settings
        fenced = settings.idempotent_producer
        return PartitionProducer(
            settings.bootstrap_servers,
            f"{settings.app_id}-{number}" if fenced else None,
            settings.publish_timeout_ms,
        )

    async def take(self, held: Held, producer: PartitionProducer, source: Source) -> Taken:
        """Take a partition; its store is attached then, and `producer` started.

        Raises:
            Exception: whatever stands in the way; what was opened is in `held`, for its owner to close.
        """
        partition = held.partition
        partition.phase, partition.reason = Phase.RECOVERING, "waiting for its group's confirmation"
        await source.confirmed(held.failed_s)
        partition.reason = "waiting for its turn to recover"
        async with self._recoveries:
            # Again: it may have waited long, and been frozen meanwhile.
            await source.confirmed(held.failed_s)
            await producer.start()
            writer = ChangelogWriter(self._changelog, partition.number, producer, self._metrics)
            await self._fence(partition, producer)
            end = await self._recover(held, writer, producer)
        partition.reason = "waiting for the catalogue and the scoreboard"
        await self._catalogue_ready()
        bounds = await source.bounds(partition.number)
        await self._check_topics(partition, bounds)
        ends = {topic: end for topic, (_, end) in bounds.items()}
        # The embedded broker does not tell a log's end rightly.
        return Taken(writer, end if self._settings.idempotent_producer else None, ends)

    async def _fence(self, partition: Partition, producer: PartitionProducer) -> None:
        if self._settings.idempotent_producer:
            partition.reason = "fencing its earlier owner"
            await producer.fence(self._changelog, partition.number)
            await producer.fence(self._decisions, partition.number)

    async def _recover(self, held: Held, writer: ChangelogWriter, producer: PartitionProducer) -> int:
        """Bring the store level with its changelog and attach it; returns where the changelog ends."""
        partition, number = held.partition, held.partition.number
        partition.reason = "reading its changelog"
        started = time.monotonic()
        if held.rebuild:
            await self._stores.remove(number)
            held.rebuild = False
            self._metrics.recoveries_total.labels("rebuilt").inc()
        # A standby's store comes open, and level but for what it has not read yet.
        promoted = held.store is not None
        store = held.store = held.store or self._stores.open(number)
        if not self._settings.idempotent_producer:
            # The embedded broker cannot say where a log ends. It lives as long as this process, which is
            # its only writer: what the store holds is what the changelog holds.
            partition.attach(store, producer)
            return store.offset + 1
        oldest_ms = self._wall_ms() - DELETE_RETENTION_MS
        try:
            recovered = await self._reader.recover(store, number, self._progress(partition), oldest_ms)
        finally:
            self._metrics.recovery_left_records.labels(str(number)).set(0)
        end = await take_back(writer, store, recovered)
        partition.attach(store, producer)
        log.info(
            "partition recovered",
            partition=number,
            standby=promoted,
            records=recovered.applied,
            taken_back=len(recovered.torn),
            epoch=producer.epoch,
            seconds=round(time.monotonic() - started, 3),
        )
        return end

    async def _check_topics(self, partition: Partition, bounds: Mapping[int, tuple[int, int]]) -> None:
        """Pass over records that a topic no longer keeps, and say so.

        Raises:
            TopicChangedError: a topic is not the one that was folded.
        """
        if self._settings.idempotent_producer:
            await self._marks.check(partition.number, partition.control.marks, bounds)
        for topic, (begin, _) in bounds.items():
            position = partition.positions[topic]
            if position >= begin:
                continue
            partition.positions[topic] = begin
            if position > 0:
                name = SOURCE_TOPICS[topic]
                log.error("records expired before they were folded", topic=name, first=position, next=begin)

    def _progress(self, partition: Partition) -> Callable[[int], None]:
        """Tells /ready, the metrics and, now and then, the log how far a recovery is."""
        left_gauge = self._metrics.recovery_left_records.labels(str(partition.number))
        said_s = time.monotonic()

        def note_left(left: int) -> None:
            nonlocal said_s
            left_gauge.set(left)
            partition.reason = f"reading its changelog, {left} records left"
            if time.monotonic() - said_s >= PROGRESS_S:
                said_s = time.monotonic()
                log.info("partition recovering", partition=partition.number, left=left)

        return note_left
