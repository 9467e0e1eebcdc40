"""The spool's folder: segment files, the mark of what is published, and the lock. Blocking, for one thread.

Rules:

1.  A record is there once `append` has returned: written, and flushed to the disk. What a failed write left
    is cut off before anything else is appended, so that only a crash leaves half a record, at the very end.
    At the next start it is set aside, then cut off: a damaged record may look like it.
2.  Segments are numbered and never reused. One that is published whole is deleted; within one, the file
    `mark` says how far. Whatever lies behind a mark may be published again.
3.  Damage is copied to `set-aside/` and said loudly before the mark passes it. So is a segment that somebody
    removed, and a mark beyond its segment's end. Nothing is dropped silently, and nothing stops the rest.
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

from tables.spool_damage import keep, set_aside, within
from tables.spool_mark import START, Mark, Position, cut, flush_folder, write_all
from tables.spool_records import Piece, Spooled, half_written, pieces

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
            except BaseException:
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
                try:
                    with self._failing("written"):
                        set_aside(self._path(number), piece.begin, piece.end)
                except SpoolError:
                    if not records:
                        raise
                    # What is before it can go; the next window meets it first.
                    break
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
            self._folder.mkdir(parents=True, exist_ok=True)
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
        size = self._sizes.get(marked.segment, marked.offset)
        self.begin = within(marked, size, self._path(marked.segment))
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
        """Set aside and cut off half a record at the newest segment's end; other damage is left to `read`."""
        base = self._base(number)
        ended = deque(pieces(self._bytes(number, base), base), maxlen=1)
        if not ended or ended[0].record is not None:
            return
        last = ended[0]
        left = self._bytes(number, last.begin)
        if not half_written(left):
            return
        try:
            place = keep(self._path(number), last.begin, left)
        except OSError as error:
            # A full disk must not keep the spool from being emptied; `read` tries again.
            log.error("half a record at the spool's end cannot be set aside yet", error=str(error))
            return
        log.warning(
            "the spool ended in half a record, as a crash leaves it; it was set aside and cut off",
            place=str(place),
            cut_bytes=len(left),
        )
        cut(self._path(number), last.begin)
        self._sizes[number] = last.begin

    def _ahead(self) -> Iterator[tuple[int, Piece]]:
        for number, size in list(self._sizes.items()):
            base = self._base(number)
            if number < self.begin.segment or base >= size:
                continue
            if not self._path(number).exists():
                yield number, Piece(base, size, None)
                continue
            for piece in pieces(self._bytes(number, base, size), base):
                yield number, piece

    def _base(self, number: int) -> int:
        return self.begin.offset if number == self.begin.segment else 0

    def _bytes(self, number: int, begin: int = 0, end: int | None = None) -> bytes:
        try:
            with self._path(number).open("rb") as file:
                file.seek(begin)
                return file.read(-1 if end is None else end - begin)
        except OSError as error:
            raise SpoolError(f"the spool cannot be read: {error}") from error

    def _descriptor(self) -> int:
        """The segment to write to; a new one when there is none or it is full."""
        if self._written is not None:
            full = next(reversed(self._sizes.values())) >= self._segment_bytes
            # One that somebody removed takes writes, and nobody would find them.
            if full or os.fstat(self._written).st_nlink == 0:
                self._close_written()
        if self._written is None:
            self._folder.mkdir(parents=True, exist_ok=True)
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
        if self._torn is not None and self._path(self._torn).exists():
            cut(self._path(self._torn), self._sizes.get(self._torn, 0))
        self._torn = None

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
