"""Copies of other workers' partitions, kept level with their changelogs, so that a takeover need not read.

Rules:

1.  Which partitions this worker copies is the group's to say, like which it owns; never both of one.
2.  One consumer outside any group reads all their changelogs. A copy that fails is closed, and opened (or,
    outdated or damaged, rebuilt) after a while; the others follow on.
3.  A copy that becomes active is handed over open, as it stands: the taking reads the rest, behind its fence.
4.  Applying shares the event loop with HTTP: in bounded parts, giving way in between.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.stores import Stores
from config.metrics import Metrics
from config.settings import Settings
from config.topics import changelog_topic
from tables.clients import lone_consumer
from tables.standby import Standby, StandbyOutdatedError
from tables.store import PartitionStore, StoreError, StoreGapError

#: Changelog records applied before other work has its turn.
PART_RECORDS = 1_000

#: How long a fetch waits at the broker, in milliseconds, and for how many bytes: copies may lag so much.
FETCH_WAIT_MS = 100
FETCH_BYTES = 64 * 1024

#: How often the reader looks whether it is to follow others, in milliseconds.
LOOK_MS = 200

#: A copy that failed, or the reader of all, is tried again after this long, in seconds.
BACKOFF_S = 2.0

log = structlog.get_logger(__name__)


class Standbys:
    """The copies on one worker.

    Args:
        wall_ms: epoch milliseconds.
    """

    def __init__(
        self, settings: Settings, stores: Stores, metrics: Metrics, wall_ms: Callable[[], int]
    ) -> None:
        self._stores = stores
        self._wall_ms = wall_ms
        self._topic = changelog_topic(settings.app_id)
        self._bootstrap = list(settings.bootstrap_servers)
        self._records = metrics.recovery_records_total
        self._lag = metrics.standby_lag_records
        self._wanted: set[int] = set()
        self._copies: dict[int, Standby] = {}
        #: Monotonic second from which a copy that failed may be opened again.
        self._retry_s: dict[int, float] = {}
        self._outdated: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def copies(self) -> Mapping[int, Standby | None]:
        """The partitions copied here, by number, in order; None for a copy that is not open now."""
        return {number: self._copies.get(number) for number in sorted(self._wanted)}

    def follow(self, numbers: Iterable[int]) -> None:
        """Copy these partitions from now on, and no others. Those to be handed over were."""
        self._wanted = set(numbers)
        for number in [number for number in self._copies if number not in self._wanted]:
            self._close(number)
        if self._wanted and self._task is None:
            self._task = asyncio.create_task(self._run(), name="standbys")

    def hand_over(self, number: int) -> tuple[PartitionStore | None, bool]:
        """A copy's store, open and no more followed, if there is one; and whether its files are worthless."""
        self._wanted.discard(number)
        copy = self._copies.pop(number, None)
        self._forget(number)
        outdated = number in self._outdated
        self._outdated.discard(number)
        return None if copy is None else copy.store, outdated

    async def stop(self) -> None:
        """Follow nothing any more; the stores are closed."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.follow(())

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                log.warning("standbys wait for Kafka", error=repr(error))
            except Exception:
                # A defect here must not leave the copies behind in silence.
                log.exception("standbys stopped, they are tried again")
            await asyncio.sleep(BACKOFF_S)

    async def _read(self) -> None:
        async with lone_consumer(self._bootstrap, FETCH_WAIT_MS, FETCH_BYTES) as consumer:
            followed: Mapping[int, Standby] = {}
            while True:
                await self._open_missing()
                if followed != self._copies:
                    followed = dict(self._copies)
                    self._seek(consumer, followed)
                if not followed:
                    await asyncio.sleep(LOOK_MS / 1000)
                    continue
                fetched = await consumer.getmany(timeout_ms=LOOK_MS, max_records=PART_RECORDS)
                for tp, records in fetched.items():
                    self._follow(followed[tp.partition], records)
                self._note_ends(consumer, followed)
                # What is buffered comes without any waiting.
                await asyncio.sleep(0)

    def _seek(self, consumer: AIOKafkaConsumer, followed: Mapping[int, Standby]) -> None:
        consumer.assign([TopicPartition(self._topic, number) for number in followed])
        for number, copy in followed.items():
            consumer.seek(TopicPartition(self._topic, number), copy.position)

    async def _open_missing(self) -> None:
        for number in self._wanted - self._copies.keys():
            if time.monotonic() < self._retry_s.get(number, 0.0):
                continue
            try:
                if number in self._outdated:
                    await self._stores.remove(number)
                    self._outdated.discard(number)
                # What is wanted may have changed meanwhile: never open what was handed over.
                if number in self._wanted and number not in self._copies:
                    self._copies[number] = Standby(number, self._stores.open(number))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other copies follow on
                self._failed(number, error)
            await asyncio.sleep(0)

    def _follow(self, copy: Standby, records: list[Any]) -> None:
        if self._copies.get(copy.number) is not copy:
            return
        try:
            self._records.inc(copy.follow(records, self._wall_ms()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other copies follow on
            self._failed(copy.number, error)

    def _note_ends(self, consumer: AIOKafkaConsumer, followed: Mapping[int, Standby]) -> None:
        for number, copy in followed.items():
            tp = TopicPartition(self._topic, number)
            end, heard_ms = consumer.highwater(tp), consumer.last_poll_timestamp(tp)
            if end is not None and heard_ms and self._copies.get(number) is copy:
                copy.note_end(end, int(heard_ms), self._wall_ms())
                self._lag.labels(str(number)).set(math.nan if copy.lag is None else copy.lag)

    def _failed(self, number: int, error: Exception) -> None:
        log.error("a standby stopped, it is tried again", partition=number, error=repr(error))
        self._close(number)
        self._retry_s[number] = time.monotonic() + BACKOFF_S
        damaged = isinstance(error, StoreError) and error.damaged
        if damaged or isinstance(error, StandbyOutdatedError | StoreGapError):
            self._outdated.add(number)

    def _close(self, number: int) -> None:
        copy = self._copies.pop(number, None)
        if copy is not None:
            copy.store.close()
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._retry_s.pop(number, None)
        if number not in self._wanted:
            self._lag.remove(str(number))
