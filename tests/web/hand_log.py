"""A worker's log within the test: it takes what it is told to, and is folded when the test says so.

What Kafka does is not its business: that is asked of Kafka, in tests/worker.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agents.folder import Folder
from app.decision.fold import Clock
from config.topics import DECISIONS, SOURCE_TOPICS
from tables.publisher import Headers, Publisher, PublishError
from tests.agents.records import Record
from tests.web.harness import PARTITIONS, Worker

TOPIC = SOURCE_TOPICS.index(DECISIONS)


class Log(Publisher):
    """A log that takes what it is told to, when it is told to; folded by the test's hand."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.records: list[tuple[bytes, bytes]] = []
        self.folded = 0
        #: Cleared: what is published waits.
        self.open = asyncio.Event()
        self.open.set()
        #: Set once anything was published, whether it waits or not.
        self.asked = asyncio.Event()
        #: What publishing fails with, and whether the record is on the log all the same.
        self.failure: PublishError | None = None
        self.landed = True

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        producer: Any = None,
        timeout_s: float | None = None,
    ) -> int:
        self.asked.set()
        await self.open.wait()
        if self.landed:
            self.records.append((key or b"", value or b""))
        if self.failure is not None:
            raise self.failure
        return len(self.records) - 1

    def fold(self) -> None:
        """What the fold loop does with what is on the log, and with the batch."""
        worker = self._worker
        for offset, (key, value) in enumerate(self.records[self.folded :], self.folded):
            partition = worker.partition_for(key.decode().partition(":")[2])
            folder = Folder(partition, PARTITIONS, worker.engine.origin_id, worker.metrics)
            record = Record(key, value, offset, partition.number, worker.now_ms)
            folder.fold(TOPIC, record, Clock(worker.now_ms, worker.catalogue, partition.number))
            partition.passed(TOPIC, offset, offset + 1, record)
        self.folded = len(self.records)
        self.write()

    def write(self) -> None:
        """Store what every partition has folded."""
        for partition in self._worker.partitions:
            if partition.dirty and partition.store is not None:
                batch = partition.seal(self._worker.now_ms, 7)
                first = partition.store.offset + 1
                partition.written(batch, first, first + len(batch.changes) - 1)
