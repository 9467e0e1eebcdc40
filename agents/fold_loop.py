"""The order of one micro-batch, over and over, for one partition.

Rules:

1.  Fold in memory → append values, outbox and control record to the changelog → check where it landed →
    one atomic store write → publish the outbox → let go of the chunks. Not pipelined past the
    acknowledgement; partitions are independent of one another.
2.  The batch's clock and catalogue are captured once, before its first record.
3.  Folding shares the event loop with HTTP: it yields every 2 ms, between customers.
4.  Whatever fails ends the loop with that error, and nothing is let go before: the owner drops the memory
    and recovers the state. Only publishing the outbox is retried here, since it is safe to repeat.
5.  The partition is ready once the fold has passed the ends that the topics had when it was taken.
6.  A partition that cannot go on (its outbox is full, its changelog slow) must not hold up the others: its
    inbox shuts, and when it is empty again what was dropped is read anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from agents.folder import Folder
from agents.inbox import Chunk, Inbox
from agents.source import Source
from app.decision.catalogue import CatalogSnapshot
from app.decision.fold import Clock
from config.metrics import Metrics
from config.topics import SOURCE_TOPICS
from tables.changelog import ChangelogWriter
from tables.partition import Partition, Phase
from tables.publisher import Derived, Publisher, PublishError

#: Folding gives way to other work after this long, in seconds.
SLICE_S = 0.002

#: A batch of fewer records than LINGER_RECORDS stays open for LINGER_S seconds: what comes meanwhile is
#: folded (and answered) at once and written together. Nobody waits for the write: the records are on Kafka.
LINGER_S = 0.02
LINGER_RECORDS = 200

#: How often an idle partition looks for housekeeping, in seconds.
IDLE_S = 1.0

#: A clean stop waits this long for derived records to be published, in seconds; the next owner does the rest.
FINISH_S = 5.0

#: Derived records published in one go; and how many, of how many bytes, wait at most before folding pauses.
OUTBOX_WINDOW = 2_000
OUTBOX_LIMIT = 20_000
OUTBOX_LIMIT_BYTES = 8 * 1024 * 1024

#: Bytes of records folded in one batch, and waiting in the inbox. Records of usual sizes never reach them.
BATCH_INPUT_BYTES = 4 * 1024 * 1024
INBOX_BYTES = 4 * 1024 * 1024

#: A wall clock this far behind the state's time was set back, or was ahead before; in milliseconds.
CLOCK_BACK_MS = 10 * 60_000

log = structlog.get_logger(__name__)


class ChunkGapError(Exception):
    """A chunk begins after the partition's position: one was lost between the consumer and here.

    Internal: the partition recovers and reads again from where its state stands.
    """


class FoldLoop:
    """Folds one partition's chunks until stopped.

    Args:
        partition: attached to its recovered store.
        folder: folds a record.
        writer: appends to the partition's changelog.
        publisher: for the outbox.
        catalogue: the newest snapshot, when called.
        clock_ms: wall clock, epoch milliseconds.
        expected_offset: where the first batch must land; None when the broker cannot say.
        ends: the offsets to fold up to before the partition is ready, by topic index.
        source: where this partition's records come from.
    """

    def __init__(
        self,
        *,
        partition: Partition,
        folder: Folder,
        writer: ChangelogWriter,
        publisher: Publisher,
        catalogue: Callable[[], CatalogSnapshot],
        clock_ms: Callable[[], int],
        metrics: Metrics,
        batch_records: int,
        expected_offset: int | None,
        ends: Mapping[int, int],
        source: Source,
    ) -> None:
        self.partition = partition
        self.inbox = Inbox(batch_records * 4, INBOX_BYTES)
        self._folder = folder
        self._writer = writer
        self._publisher = publisher
        self._catalogue = catalogue
        self._clock_ms = clock_ms
        self._metrics = metrics
        self._batch_records = batch_records
        self._expected = expected_offset
        self._ends = dict(ends)
        self._source = source
        self._lag_noted_at = 0.0
        self._held: list[Chunk] = []
        self._stopping = False
        self._publishing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Fold until `stop`. Raises whatever broke the order of a batch."""
        try:
            self._note_progress()
            self._publish_outbox()
            while not self._stopping:
                self._check_partition()
                if self.inbox.shut and not len(self.inbox):
                    await self._refill()
                if await self.inbox.wait(IDLE_S):
                    await self._batch()
                elif self.partition.outbox.unforgotten or self.partition.answers.due(self._clock_ms()):
                    await self._write(self._now())
                await self._pause_for_outbox()
                self._note_lag()
            await self._finish()
        finally:
            self.inbox.close()
            self._let_go()
            if self._publishing is not None:
                self._publishing.cancel()

    def stop(self) -> None:
        """Finish the batch in hand, then end `run`."""
        self._stopping = True
        self.inbox.close()

    async def _batch(self) -> None:
        started = time.perf_counter()
        clock = self._now()
        records = size = 0
        while records < self._batch_records and size < BATCH_INPUT_BYTES:
            chunk = self.inbox.take()
            if chunk is None:
                left_s = started + LINGER_S - time.perf_counter()
                if records >= LINGER_RECORDS or left_s <= 0 or not await self.inbox.wait(left_s):
                    break
                continue
            self._held.append(chunk)
            records += len(chunk.records)
            size += chunk.size
            await self._fold(chunk, clock)
        if self.partition.dirty:
            await self._write(clock)
        self._let_go()
        self._note_progress()
        self._publish_outbox()
        self._metrics.batches_total.inc()
        self._metrics.batch_seconds.observe(time.perf_counter() - started)

    async def _fold(self, chunk: Chunk, clock: Clock) -> None:
        topic, fold = chunk.topic, self._folder.fold
        floor = self.partition.positions[topic]
        if chunk.begin > floor:
            name = SOURCE_TOPICS[topic]
            raise ChunkGapError(f"{name}: a chunk begins at {chunk.begin}, the state stands at {floor}")
        if chunk.end <= floor:
            return
        deadline = time.perf_counter() + SLICE_S
        folded = 0
        for record in chunk.records:
            if record.offset < floor:
                continue
            fold(topic, record, clock)
            folded += 1
            if time.perf_counter() > deadline:
                await asyncio.sleep(0)
                deadline = time.perf_counter() + SLICE_S
        self.partition.passed(topic, floor, chunk.end, chunk.records[-1] if chunk.records else None)
        self._metrics.records_folded_total.labels(SOURCE_TOPICS[topic]).inc(folded)

    async def _write(self, clock: Clock) -> None:
        partition = self.partition
        expired = partition.expired(clock.now_ms, clock.catalogue.trace_retention_ms)
        batch = partition.seal(clock.now_ms, clock.catalogue.version, expired)
        first, last = await self._writer.append(batch, self._expected)
        partition.written(batch, first, last)
        self._expected = last + 1

    async def _finish(self) -> None:
        """A clean stop: what was published is known to be, so that nothing is published again."""
        if self._publishing is not None:
            await asyncio.wait([self._publishing], timeout=FINISH_S)
        if self.partition.dirty:
            await self._write(self._now())

    def _now(self) -> Clock:
        # The state's time does not run backwards with a clock that is corrected a little. But it must not
        # stand still for as long as a clock was once ahead: no window would pass in that time.
        wall_ms, stored_ms = self._clock_ms(), self.partition.control.now_ms
        back_ms = stored_ms - wall_ms
        if back_ms > CLOCK_BACK_MS:
            log.error("the clock went back", partition=self.partition.number, by_ms=back_ms)
        now_ms = wall_ms if back_ms > CLOCK_BACK_MS else max(wall_ms, stored_ms)
        return Clock(now_ms, self._catalogue(), self.partition.number)

    def _check_partition(self) -> None:
        """Raise when a reader found the store damaged, or a writer what it wrote in doubt."""
        store, doubt = self.partition.store, self.partition.doubt
        if store is not None and store.damage is not None:
            raise store.damage
        if doubt is not None:
            raise doubt

    async def _refill(self) -> None:
        """Read on from where the fold stands: the inbox was shut, and what came then dropped."""
        partition = self.partition
        log.info("reading on", partition=partition.number)
        await self._source.resume(partition.number, dict(enumerate(partition.positions)))
        if not self._stopping:
            self.inbox.reopen()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for chunk in held:
            chunk.done()

    def _note_progress(self) -> None:
        if self.partition.phase is not Phase.FOLDING:
            return
        positions = self.partition.positions
        behind = {topic: end for topic, end in self._ends.items() if positions[topic] < end}
        if behind:
            left = sum(end - positions[topic] for topic, end in behind.items())
            self.partition.reason = f"{left} records to fold"
            return
        self.partition.phase = Phase.READY
        self.partition.reason = ""
        self._metrics.partition_ready.labels(str(self.partition.number)).set(1)
        log.info("partition ready", partition=self.partition.number)

    def _note_lag(self) -> None:
        now = time.monotonic()
        if now - self._lag_noted_at < IDLE_S:
            return
        self._lag_noted_at = now
        number, lag = str(self.partition.number), self._metrics.partition_lag_records
        self.partition.heard_ms = self._source.heard_ms(self.partition.number)
        for topic, head in self._source.heads(self.partition.number).items():
            lag.labels(SOURCE_TOPICS[topic], number).set(max(head - self.partition.positions[topic], 0))

    def _publish_outbox(self) -> None:
        if len(self.partition.outbox) and (self._publishing is None or self._publishing.done()):
            self._publishing = asyncio.create_task(self._empty_outbox())

    async def _empty_outbox(self) -> None:
        outbox = self.partition.outbox
        while window := [entry for entry, _ in zip(outbox.waiting(), range(OUTBOX_WINDOW), strict=False)]:
            targets: dict[tuple[str, int], list[Derived]] = {}
            for _, derived in window:
                targets.setdefault((derived.topic, derived.partition), []).append(derived)
            await asyncio.gather(*(self._publish(records) for records in targets.values()))
            for sequence, _ in window:
                outbox.note_published(sequence)

    async def _publish(self, records: list[Derived]) -> None:
        delay_s = 0.1
        while True:
            try:
                return await self._publisher.publish_in_order(records)
            except PublishError as error:
                log.warning("derived records wait", partition=self.partition.number, error=str(error))
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 5.0)

    async def _pause_for_outbox(self) -> None:
        if self._publishing is None:
            return
        outbox = self.partition.outbox
        while not self._publishing.done() and not self._stopping:
            if len(outbox) <= OUTBOX_LIMIT and outbox.size <= OUTBOX_LIMIT_BYTES:
                break
            await asyncio.wait([self._publishing], timeout=0.1)
        if self._publishing.done():
            self._publishing.result()
