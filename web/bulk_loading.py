"""Writing many profiles to Kafka: checked line by line, published a chunk at a time.

Rules:

1.  While one chunk is on its way to Kafka, the next is read and checked; more is not held. A chunk has at
    most 500 lines, and a mebibyte but for its last line.
2.  Every customer's lines go to their partition in the order of the body. Once Kafka did not take a chunk's
    lines of a partition, no later line of this body goes there: each is told `retry`, so that sending those
    lines again, in their order, gives the state that was meant.
3.  `accepted` is durable on Kafka, not yet folded. `retry` may be on Kafka all the same.
4.  Checking takes the event loop: it is given back after some lines, so that decisions do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from app.decision.refusals import Problem
from config.metrics import Metrics
from config.topics import PROFILES
from tables.layout import customer_key
from tables.publisher import Derived, Publisher, PublishError
from tables.routing import partition_of
from web.bulk_line import Checked, check_line
from web.ndjson import Line
from web.view import encode

ACCEPTED = "accepted"
REJECTED = "rejected"
RETRY = "retry"

CHUNK_LINES = 500
CHUNK_BYTES = 1_048_576

#: Lines and bytes checked before the event loop is given back.
_TURN_LINES = 20
_TURN_BYTES = 64 * 1024

#: Lines of one body whose problems are told one by one; of others only that they have some.
TOLD_MAX = 1_000

_UNTOLD = (Problem("", "is not as it must be; the details of this many lines are left out"),)
_NOT_TAKEN = (Problem("", "Kafka did not take it, or an earlier line of its partition; send it again"),)


class LineResult(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of one line; `customer_id` is null when the line names nobody."""

    line: int
    customer_id: str | None
    status: str
    details: Sequence[Problem] = ()


class Loading:
    """One body's lines on their way to Kafka."""

    def __init__(self, publisher: Publisher, partitions: int, tenant_id: str, metrics: Metrics) -> None:
        self._publisher = publisher
        self._partitions = partitions
        self._tenant_id = tenant_id
        self._counter = metrics.bulk_lines_total
        #: One for each line, in order; those under way have no status yet.
        self.results: list[LineResult] = []
        self._chunk: list[tuple[LineResult, Derived]] = []
        self._chunk_bytes = 0
        self._underway: asyncio.Task[None] | None = None
        self._failed: set[int] = set()
        #: Whether Kafka certainly has none of the lines that are told `retry`.
        self.certain = True
        self._turn_lines = self._turn_bytes = self._told = 0

    async def take(self, line: Line) -> None:
        """Check a line, and publish those gathered when they are enough."""
        self._enter(line.number, check_line(line.text, self._tenant_id))
        self._turn_lines += 1
        self._turn_bytes += len(line.text or b"")
        if self._turn_lines >= _TURN_LINES or self._turn_bytes >= _TURN_BYTES:
            self._turn_lines = self._turn_bytes = 0
            await asyncio.sleep(0)
        if len(self._chunk) >= CHUNK_LINES or self._chunk_bytes >= CHUNK_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """Publish what is left; every line has its status then."""
        await self._flush()
        await self.settled()
        for status in (ACCEPTED, REJECTED, RETRY):
            self._counter.labels(status).inc(self.count(status))

    async def abandon(self) -> None:
        """Nobody wants the rest: let what is under way end without being waited for."""
        task, self._underway = self._underway, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def count(self, status: str) -> int:
        """How many lines have a status."""
        return sum(one.status == status for one in self.results)

    @property
    def held_lines(self) -> int:
        """Lines gathered and not yet on their way."""
        return len(self._chunk)

    def _enter(self, number: int, checked: Checked) -> None:
        result = LineResult(number, checked.customer_id, REJECTED)
        self.results.append(result)
        if checked.record is None:
            self._told += 1
            result.details = checked.problems if self._told <= TOLD_MAX else _UNTOLD
            return
        key = customer_key(self._tenant_id, checked.record.customer_id)
        value = encode(checked.record)
        self._chunk.append((result, Derived(PROFILES, partition_of(key, self._partitions), key, value)))
        self._chunk_bytes += len(value)

    async def _flush(self) -> None:
        """Send the chunk in hand on its way, once the one before it is there."""
        await self.settled()
        if self._chunk:
            chunk, self._chunk, self._chunk_bytes = self._chunk, [], 0
            self._underway = asyncio.create_task(self._publish(chunk))

    async def settled(self) -> None:
        """Wait until nothing is on its way to Kafka."""
        task, self._underway = self._underway, None
        if task is not None:
            await task

    async def _publish(self, chunk: Sequence[tuple[LineResult, Derived]]) -> None:
        by_partition: dict[int, list[tuple[LineResult, Derived]]] = {}
        for one in chunk:
            by_partition.setdefault(one[1].partition, []).append(one)
        await asyncio.gather(*(self._publish_to(number, ones) for number, ones in by_partition.items()))

    async def _publish_to(self, partition: int, ones: Sequence[tuple[LineResult, Derived]]) -> None:
        taken = partition not in self._failed
        if taken:
            try:
                await self._publisher.publish_in_order([record for _, record in ones])
            except PublishError as error:
                self._failed.add(partition)
                self.certain = self.certain and error.certain
                taken = False
        for result, _ in ones:
            result.status = ACCEPTED if taken else RETRY
            result.details = () if taken else _NOT_TAKEN
