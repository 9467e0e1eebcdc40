"""The worker's spool: records that Kafka did not take, durable here until it does.

Rules:

1.  Whoever appends waits for one flush that serves all who wait then. Files are touched in one thread, never
    in the event loop's.
2.  A key's order is the order of the calls. While records of a key wait here, later ones of it must be
    appended too (`behind`). Keys share 65,536 slots: a key may be told to queue behind another's.
3.  Bounded: in bytes on disk, with what is being written. Past that, `SpoolFullError`.
4.  A record may be published twice: what `window` gave and `passed` has not confirmed, at most `WINDOW`
    records; and what was sent to Kafka with an unknown end before it was appended, at most `DIRECT_MAX` of a
    slot (`direct`). Both together stay well below the 1,000 ids that a customer's fold remembers.
5.  `stalled` says that Kafka took nothing lately. Then everybody appends at once instead of waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import structlog

from config.metrics import Metrics
from tables.spool_files import SEGMENT_BYTES, SpoolError, SpoolFiles
from tables.spool_mark import Position
from tables.spool_records import Spooled, encode_record
from tables.spool_slots import Slots

log = structlog.get_logger(__name__)

#: Records that are given out to be published at once.
WINDOW = 256
_WINDOW_BYTES = 1024 * 1024

#: Bytes that one flush takes along, at least one append.
_COMMIT_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


class SpoolFullError(SpoolError):
    """The spool holds as much as it may. External, retryable once Kafka is back."""


class _Append:
    """Records that wait for their flush."""

    __slots__ = ("data", "done", "records")

    def __init__(self, records: Sequence[Spooled], done: asyncio.Future[None]) -> None:
        self.records = records
        self.data = b"".join(map(encode_record, records))
        self.done = done


class Spool:
    """One worker's spool. Open it before anything else, in the event loop it is used in.

    Args:
        folder: its own, made if it is not there.
        limit_bytes: on disk, at most.
        clock_ms: epoch milliseconds.
    """

    def __init__(self, folder: Path, limit_bytes: int, clock_ms: Callable[[], int], metrics: Metrics) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.clock_ms = clock_ms
        self.metrics = metrics
        self.stalled = False
        #: Set when there may be something to publish; the publisher clears it.
        self.filled = asyncio.Event()
        self._files: SpoolFiles | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._slots = Slots()
        self._queue: list[_Append] = []
        self._queued_bytes = 0
        self._size = 0
        self._committing: asyncio.Task[None] | None = None
        self._records = 0
        self._oldest_ms = 0

    @property
    def is_open(self) -> bool:
        return self._files is not None

    @property
    def begin(self) -> Position:
        """Where the first window begins: what is before it is published."""
        return self._opened().begin

    async def open(self) -> None:
        """Take the folder and find what an earlier life has left. Nothing happens when it is open.

        Raises:
            SpoolError: another process has it, or it cannot be used.
        """
        if self._files is not None:
            return
        thread = ThreadPoolExecutor(1, "spool")
        files = SpoolFiles(self.folder, min(self.limit_bytes // 8, SEGMENT_BYTES))
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._open, files)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        self._files, self._thread, self._size = files, thread, files.size
        if not files.drained:
            log.info("the spool holds records of an earlier life", records=self._records)
            self.filled.set()

    def behind(self, key: bytes, count: int = 1) -> bool:
        """Whether so many records of a key must be appended here, instead of going to Kafka themselves."""
        return self.stalled or self._slots.blocked(key, count)

    def direct(self, key: bytes, count: int = 1) -> AbstractContextManager[None]:
        """So many records of a key are on their way to Kafka without the spool."""
        return self._slots.direct(key, count)

    def stall(self) -> None:
        """Kafka does not take what is sent: until it does, everything is appended here at once."""
        self.stalled = self._records > 0

    async def append(self, records: Sequence[Spooled]) -> None:
        """Keep records, in order; they are on the disk when this returns.

        Raises:
            SpoolFullError: there is no room for them.
            SpoolError: they could not be written. None of them will be published.
        """
        if self._files is None:
            self._refuse("closed", len(records))
            raise SpoolError(f"the spool {self.folder} is not open; the log says why")
        waiting = _Append(records, asyncio.get_running_loop().create_future())
        if self._size + self._queued_bytes + len(waiting.data) > self.limit_bytes:
            self._refuse("full", len(records))
            raise SpoolFullError(f"the spool holds {self._size} bytes, all it may")
        waiting.done.add_done_callback(_heard)
        self._queue.append(waiting)
        self._queued_bytes += len(waiting.data)
        self._enter(records, 1)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit(self._files))
        await asyncio.shield(waiting.done)

    async def window(self) -> tuple[list[Spooled], Position]:
        """The oldest records, at most `WINDOW`, and where they end. The same ones until `passed` is called.

        Raises:
            SpoolError: they cannot be read.
        """
        files = self._opened()
        read = await self._in_thread(lambda: files.read(WINDOW, _WINDOW_BYTES))
        self.metrics.spool_damaged_total.inc(read.damaged)
        if read.records:
            self._oldest_ms = read.records[0].at_ms
        return read.records, read.end

    async def passed(self, records: Sequence[Spooled], end: Position) -> None:
        """The window is on Kafka: forget it, durably.

        Raises:
            SpoolError: it could not be noted; call again.
        """
        files = self._opened()
        await self._in_thread(lambda: files.passed(end))
        self._size = files.size
        self._enter(records, -1)
        self.metrics.spool_published_total.inc(len(records))
        if self._committing is None and files.drained:
            self._emptied()

    def observe(self) -> None:
        """Set the gauges."""
        self.metrics.spool_bytes.set(self._size)
        self.metrics.spool_records.set(self._records)
        age_ms = self.clock_ms() - self._oldest_ms if self._records else 0
        self.metrics.spool_oldest_age_seconds.set(max(age_ms, 0) / 1000)

    async def close(self) -> None:
        """Finish the flush in hand and let go of the folder; what is in it stays."""
        if self._committing is not None:
            await self._committing
        files, self._files = self._files, None
        if files is not None:
            await self._in_thread(files.close)
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _open(self, files: SpoolFiles) -> None:
        files.open()
        try:
            for record in files.waiting():
                self._enter((record,), 1)
        except BaseException:
            self._emptied()
            files.close()
            raise

    async def _commit(self, files: SpoolFiles) -> None:
        try:
            while self._queue:
                batch, size = [self._queue[0]], len(self._queue[0].data)
                for waiting in self._queue[1:]:
                    size += len(waiting.data)
                    if size > _COMMIT_BYTES:
                        break
                    batch.append(waiting)
                del self._queue[: len(batch)]
                await self._write(files, batch)
        finally:
            self._committing = None

    async def _write(self, files: SpoolFiles, batch: Sequence[_Append]) -> None:
        failure: SpoolError | None = None
        try:
            data = b"".join([waiting.data for waiting in batch])
            await self._in_thread(lambda: files.append(data))
        except SpoolError as error:
            log.error("the spool could not be written", error=str(error))
            failure = error
        except Exception as error:
            # No memory, say. Whoever waits must hear of it, and the next ones must be tried.
            log.exception("the spool could not be written")
            failure = SpoolError(f"the spool {self.folder} cannot be written: {error!r}")
        self._queued_bytes -= sum(len(waiting.data) for waiting in batch)
        self._size = files.size
        for waiting in batch:
            self._settle(waiting, failure)
        if failure is None:
            self.filled.set()

    def _settle(self, waiting: _Append, failure: SpoolError | None) -> None:
        count = len(waiting.records)
        if failure is None:
            self.metrics.spool_appended_total.inc(count)
        else:
            self._enter(waiting.records, -1)
            self._refuse("disk", count)
            # With nothing in it nobody would ever find that Kafka is back.
            self.stalled = self.stalled and self._records > 0
        if waiting.done.done():
            return
        if failure is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(failure)

    def _enter(self, records: Sequence[Spooled], step: int) -> None:
        """Count records that come, or with -1 that go."""
        if step > 0 and not self._records and records:
            self._oldest_ms = records[0].at_ms
        self._records += step * len(records)
        count = self._slots.enter if step > 0 else self._slots.leave
        for record in records:
            count(record.key)

    def _emptied(self) -> None:
        """Nothing waits: Kafka takes what comes, and damage that was counted as records is no more."""
        self._records = 0
        self._slots.empty()
        self.stalled = False

    def _refuse(self, reason: str, count: int) -> None:
        self.metrics.spool_refused_total.labels(reason).inc(count)

    def _opened(self) -> SpoolFiles:
        if self._files is None:
            raise SpoolError(f"the spool {self.folder} is not open")
        return self._files

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _heard(done: asyncio.Future[None]) -> None:
    """Whoever waited may have gone: what became of the append is no news then."""
    if not done.cancelled():
        done.exception()
