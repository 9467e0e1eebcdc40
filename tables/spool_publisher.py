"""Takes what is in the spool to Kafka, in order, for as long as the worker lives.

Rules:

1.  One window at a time: its records go to their partitions side by side, each partition's in order, and the
    next window is read once all of them are acknowledged and that is noted on the disk.
2.  What was handed to the client is waited for, not sent again: the client tries by itself, and every further
    copy would stay in its memory. Only what it gave up, or had when it ended, is handed over again.
3.  A record's time on Kafka is when it was received, not when Kafka took it: else what was received before a
    customer was erased could look newer than the erasure. Retention counts from it too.
4.  It never gives up. It says so in the log, and in the metrics, each time it has waited in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import structlog
from aiokafka.errors import KafkaError

from config.metrics import Metrics
from tables.background import Background
from tables.publisher import CUT_OFF, Derived, Publisher, PublishError
from tables.routing import partition_of
from tables.spool import Spool
from tables.spool_files import SpoolError, SpoolHeldError
from tables.spool_records import Spooled

log = structlog.get_logger(__name__)

#: Waits before another attempt, in seconds: the first and the longest.
_FIRST_S = 0.1
_LONGEST_S = 5.0
#: Kafka that has acknowledged nothing for so long is away.
_PATIENCE_S = 2.0


class _Group(msgspec.Struct):
    """Records of one topic partition, in order, and when each was received, epoch ms."""

    records: list[Derived]
    times_ms: list[int]


async def open_or_say(spool: Spool) -> None:
    """Open the spool, or log why not: `SpoolPublisher` tries on, and Kafka may take all.

    Raises:
        SpoolHeldError: another process has it; it will not go by waiting.
    """
    try:
        await spool.open()
    except SpoolHeldError:
        raise
    except SpoolError as error:
        log.error("the spool cannot be used, trying again", error=str(error))


class SpoolPublisher:
    """The task beside a spool.

    Args:
        partitions: of each customer topic.
    """

    def __init__(self, spool: Spool, publisher: Publisher, partitions: int, metrics: Metrics) -> None:
        self._spool = spool
        self._publisher = publisher
        self._partitions = partitions
        self._failures = metrics.spool_publish_failures_total
        self._delay_s = _FIRST_S
        self._background = Background(self._run, "spool publisher")

    def start(self) -> None:
        """Begin with what is there."""
        self._background.start()

    async def stop(self) -> None:
        """Stop; what is not acknowledged stays in the spool."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._spool.open()
                await self._spool.filled.wait()
                # Before it is read: what comes meanwhile sets it again.
                self._spool.filled.clear()
                await self._publish_window()
                self._delay_s = _FIRST_S
            except SpoolError as error:
                log.error("the spool cannot be used, trying again", error=str(error))
                self._spool.filled.set()
                await self._back_off()
            except Exception:
                # Nobody else would ever publish what is in it.
                log.exception("publishing from the spool failed, trying again")
                self._spool.filled.set()
                await self._back_off()

    async def _publish_window(self) -> None:
        records, end = await self._spool.window()
        if end == self._spool.begin:
            return
        self._spool.filled.set()
        groups = self._groups(records)
        while groups:
            groups = await self._publish(groups)
        await self._spool.passed(records, end)

    def _groups(self, records: Sequence[Spooled]) -> list[_Group]:
        """The records of each topic partition, in order."""
        groups: dict[tuple[str, int], _Group] = {}
        for record in records:
            partition = partition_of(record.key, self._partitions)
            group = groups.setdefault((record.topic, partition), _Group([], []))
            group.records.append(Derived(record.topic, partition, record.key, record.value))
            group.times_ms.append(record.at_ms)
        return list(groups.values())

    async def _publish(self, groups: Sequence[_Group]) -> list[_Group]:
        """The groups that Kafka has not taken; all others are acknowledged."""
        deliver = self._publisher.deliver
        tasks = {
            asyncio.create_task(deliver(group.records, None, times_ms=group.times_ms)): group
            for group in groups
        }
        try:
            await self._acknowledged(tasks)
        finally:
            for task in tasks:
                task.cancel()
        errors = [self._error(task) for task in tasks]
        failed = [group for group, error in zip(tasks.values(), errors, strict=True) if error is not None]
        if not failed:
            self._spool.stalled = False
            return []
        self._spool.stall()
        await self._back_off()
        if any(error is not None and isinstance(error.__cause__, CUT_OFF) for error in errors):
            await self._renew()
        return failed

    async def _acknowledged(self, tasks: dict[asyncio.Task[None], _Group]) -> None:
        """Return when Kafka, or the client, has said of each what became of it."""
        waiting = set(tasks)
        while True:
            _, waiting = await asyncio.wait(waiting, timeout=_PATIENCE_S)
            if not waiting:
                return
            self._failures.inc()
            self._spool.stall()
            if self._publisher.ended:
                return await _called_off(waiting)
            left = sum(len(tasks[task].records) for task in waiting)
            log.warning("Kafka does not take what is in the spool; waiting for it", records=left)

    def _error(self, task: asyncio.Task[None]) -> PublishError | None:
        if task.cancelled():
            error: BaseException | None = PublishError("the producer has ended", certain=False)
        else:
            error = task.exception()
        if error is None:
            return None
        if not isinstance(error, PublishError):
            raise error
        self._failures.inc()
        log.warning("Kafka did not take records of the spool, trying again", error=str(error))
        return error

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(_LONGEST_S):
                await self._publisher.renew()
        except (KafkaError, TimeoutError) as error:
            log.warning("no new producer could be had, going on with the old one", error=repr(error))

    async def _back_off(self) -> None:
        await asyncio.sleep(self._delay_s)
        self._delay_s = min(self._delay_s * 2, _LONGEST_S)


async def _called_off(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
