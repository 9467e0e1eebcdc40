"""How far the spool is published, kept on disk; and writes that are on the disk when they return.

The file `mark` has two places, a page each, written in turns: segment, offset and the CRC-32 of both. The
higher one that is whole counts, so a crash leaves the one before. It is written in place: a disk that is full
must not keep the spool from being emptied.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger(__name__)

_PLACE_BYTES = 4_096
_PLACES = 2


class Position(msgspec.Struct, frozen=True, order=True):
    """A place between two records: `offset` bytes into a segment."""

    segment: int
    offset: int


#: Before everything.
START = Position(0, 0)


class Mark:
    """The file in a folder; made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "mark"
        self._turn = 0

    def read(self) -> Position:
        """The position; `START` when there is none, or none that can be trusted.

        Raises:
            OSError: it cannot be read, or made.
        """
        content = self._path.read_bytes() if self._path.exists() else b""
        if len(content) < _PLACES * _PLACE_BYTES:
            self._make()
        places = [content[at : at + _PLACE_BYTES].strip(b"\0") for at in (0, _PLACE_BYTES)]
        found = [_position(place) for place in places]
        if any(places) and not any(found):
            log.error(
                "the spool's mark is damaged: its oldest segment is published again", mark=str(self._path)
            )
        best = max(position or START for position in found)
        self._turn = 1 if found[0] == best else 0
        return best

    def write(self, position: Position) -> None:
        """Replace the position by a later one.

        Raises:
            OSError: the old one holds, or the new one.
        """
        if not self._path.exists():
            # Somebody removed it, with the folder perhaps.
            self._make()
        text = f"{position.segment} {position.offset}".encode()
        descriptor = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.lseek(descriptor, self._turn * _PLACE_BYTES, os.SEEK_SET)
            line = b"%s %08x\n" % (text, zlib.crc32(text))
            write_all(descriptor, line.ljust(64, b"\0"))
        finally:
            os.close(descriptor)
        self._turn = 1 - self._turn

    def _make(self) -> None:
        with self._path.open("wb") as file:
            file.write(bytes(_PLACES * _PLACE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        flush_folder(self._path.parent)


def _position(place: bytes) -> Position | None:
    text, _, checksum = place.partition(b"\n")[0].rpartition(b" ")
    try:
        if int(checksum, 16) == zlib.crc32(text):
            return Position(*map(int, text.split(b" ")))
    except (ValueError, TypeError):
        return None
    return None


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data and flush it to the disk.

    Raises:
        OSError: any part of it may be there.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def cut(path: Path, size: int) -> None:
    """Make a file so many bytes long, on the disk too.

    Raises:
        OSError: it may be longer still.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Make files that were created, renamed or removed in a folder so on the disk.

    Raises:
        OSError: they may not be.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
