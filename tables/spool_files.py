"""The spool's folder: segment files, the mark of what is published, and the lock. Blocking, for one thread.

Rules:

1.  A record is there once `append` has returned: written, and flushed to the disk. What a failed write left
    is cut off before anything else is appended, so that only a crash leaves half a record, at the very end.
2.  Segments are numbered and never reused. One that is published whole is deleted; within one, the file
    `mark` says how far. Whatever lies behind a mark may be published again.
3.  Damage is copied to `set-aside/` and said loudly before the mark passes it. Nothing is dropped silently.
4.  One process at a time, held by a lock that ends with the process.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog
from filelock import FileLock, Timeout

from tables.spool_mark import START, Mark, Position, flush_folder, write_all
from tables.spool_records import Piece, Spooled, pieces

log = structlog.get_logger(__name__)

#: A segment ends once it has this many bytes.
SEGMENT_BYTES = 4 * 1024 * 1024

_NAME = re.compile(r"(\d{20})\.v1\.spool")


class SpoolError(Exception):
    """The spool's folder cannot be written or read. External, retryable: nothing of the call was kept."""


class SpoolHeldError(SpoolError):
    """Another process has the spool's folder. Whoever set it up wrote one folder for two workers."""


class Read(msgspec.Struct, frozen=True):
    """Records in order, where the last one ends, and how many pieces of damage lay between them."""

    records: list[Spooled]
    end: Position
    damaged: int = 0


class SpoolFiles:
    """The files in a folder. `size` is the bytes of all segments."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._lock = FileLock(folder / "lock", thread_local=False)
        self._mark = Mark(folder)
        #: Bytes of each segment that hold records, by number, oldest first.
        self._sizes: dict[int, int] = {}
        self._next = 1
        self._written: int | None = None
        self._torn: int | None = None
        #: What is before it is published.
        self.begin = START

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    @property
    def drained(self) -> bool:
        """Whether everything is published."""
        return all(size == 0 or Position(number, size) <= self.begin for number, size in self._sizes.items())

    def open(self) -> None:
        """Take the folder, cut off what a crash left half-written, and find where to go on.

        Raises:
            SpoolError: another process has it, or it cannot be used.
        """
        with self._failing("opened"):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise SpoolHeldError(f"{self._folder} is in use by another process") from error
            try:
                self._find()
            except BaseException:
                self._lock.release()
                raise

    def waiting(self) -> Iterator[Spooled]:
        """Every record that is not known to be published."""
        for _, piece in self._ahead():
            if piece.record is not None:
                yield piece.record

    def append(self, data: bytes) -> None:
        """Write encoded records and flush them to the disk.

        Raises:
            SpoolError: none of them is there.
        """
        with self._failing("written"):
            self._mend()
            descriptor = self._descriptor()
            number = next(reversed(self._sizes))
            try:
                write_all(descriptor, data)
            except OSError:
                self._torn = number
                self._close_written()
                raise
            self._sizes[number] += len(data)

    def read(self, limit: int, limit_bytes: int) -> Read:
        """The oldest records that are not published, at least one if there is any.

        Args:
            limit: of their number.
            limit_bytes: of their values; the first one is always read.

        Raises:
            SpoolError: they cannot be read.
        """
        records: list[Spooled] = []
        end, damaged, size = self.begin, 0, 0
        for number, piece in self._ahead():
            if piece.record is None:
                self._set_aside(number, piece)
                damaged += 1
            else:
                size += len(piece.record.value)
                if len(records) == limit or (records and size > limit_bytes):
                    break
                records.append(piece.record)
            end = Position(number, piece.end)
        return Read(records, end, damaged)

    def passed(self, end: Position) -> None:
        """Forget what is before a position: it is published.

        Raises:
            SpoolError: it may be published again after a restart; calling again is harmless.
        """
        with self._failing("marked"):
            if end.offset < self._sizes.get(end.segment, 0):
                self._mark.write(end)
            gone = [number for number, size in self._sizes.items() if Position(number, size) <= end]
            for number in gone:
                if self._written is not None and number == next(reversed(self._sizes)):
                    self._close_written()
                self._path(number).unlink(missing_ok=True)
                del self._sizes[number]
                if number == self._torn:
                    self._torn = None
            if gone:
                flush_folder(self._folder)
            self.begin = end

    def close(self) -> None:
        """Let go of the folder."""
        self._close_written()
        self._lock.release()

    def _find(self) -> None:
        marked = self._mark.read()
        self._sizes = {number: self._path(number).stat().st_size for number in self._numbers()}
        self._next = max([marked.segment, *self._sizes]) + 1
        for number in [number for number in self._sizes if number < marked.segment]:
            self._path(number).unlink()
            del self._sizes[number]
        self.begin = marked
        if self._sizes:
            self._cut(next(reversed(self._sizes)))

    def _numbers(self) -> list[int]:
        found: list[int] = []
        for path in sorted(self._folder.glob("*.spool")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise SpoolError(f"{path} is of a version that this program does not know: run a newer one")
            found.append(int(match[1]))
        return found

    def _cut(self, number: int) -> None:
        """Cut off what the newest segment ends with, when it is no record: nobody was told it is there."""
        ended = deque(pieces(self._bytes(number)), maxlen=1)
        if not ended or ended[0].record is not None:
            return
        last = ended[0]
        log.warning(
            "the spool ended in a record that a crash left half-written; it is cut off",
            segment=str(self._path(number)),
            cut_bytes=last.end - last.begin,
        )
        self._truncate(number, last.begin)
        self._sizes[number] = last.begin

    def _ahead(self) -> Iterator[tuple[int, Piece]]:
        for number, size in list(self._sizes.items()):
            base = self.begin.offset if number == self.begin.segment else 0
            if number < self.begin.segment:
                continue
            for piece in pieces(self._bytes(number, base, size), base):
                yield number, piece

    def _bytes(self, number: int, begin: int = 0, end: int | None = None) -> bytes:
        try:
            with self._path(number).open("rb") as file:
                file.seek(begin)
                return file.read(-1 if end is None else end - begin)
        except OSError as error:
            raise SpoolError(f"the spool cannot be read: {error}") from error

    def _set_aside(self, number: int, piece: Piece) -> None:
        place = self._folder / "set-aside" / f"{number}-{piece.begin}.damaged"
        with self._failing("written"):
            place.parent.mkdir(exist_ok=True)
            with place.open("wb") as file:
                file.write(self._bytes(number, piece.begin, piece.end))
                file.flush()
                os.fsync(file.fileno())
            flush_folder(place.parent)
        log.error(
            "part of the spool is damaged and was set aside: events are missing from Kafka",
            place=str(place),
            damaged_bytes=piece.end - piece.begin,
        )

    def _descriptor(self) -> int:
        """The segment to write to; a new one when there is none or it is full."""
        if self._written is not None and next(reversed(self._sizes.values())) >= self._segment_bytes:
            self._close_written()
        if self._written is None:
            number = self._next
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self._path(number), flags, 0o600)
            self._next = number + 1
            self._sizes[number] = 0
            try:
                flush_folder(self._folder)
            except OSError:
                os.close(descriptor)
                raise
            self._written = descriptor
        return self._written

    def _mend(self) -> None:
        """Cut off what the last write that failed has left."""
        if self._torn is not None:
            self._truncate(self._torn, self._sizes.get(self._torn, 0))
            self._torn = None

    def _truncate(self, number: int, size: int) -> None:
        descriptor = os.open(self._path(number), os.O_RDWR)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _close_written(self) -> None:
        descriptor, self._written = self._written, None
        if descriptor is not None:
            # Everything that counts was flushed.
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:020d}.v1.spool"

    @contextmanager
    def _failing(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(f"the spool {self._folder} cannot be {done}: {error}") from error
