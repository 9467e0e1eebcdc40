"""How far the spool is published, kept on disk; and writes that are on the disk when they return.

The mark is one line: segment, offset and the CRC-32 of both. It is replaced as a whole.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger(__name__)


class Position(msgspec.Struct, frozen=True, order=True):
    """A place between two records: `offset` bytes into a segment."""

    segment: int
    offset: int


#: Before everything.
START = Position(0, 0)


def write_mark(folder: Path, position: Position) -> None:
    """Replace the mark.

    Raises:
        OSError: the old one holds, or the new one.
    """
    text = f"{position.segment} {position.offset}".encode()
    new = folder / "mark.new"
    with new.open("wb") as file:
        file.write(b"%s %08x\n" % (text, zlib.crc32(text)))
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / "mark")
    flush_folder(folder)


def read_mark(folder: Path) -> Position:
    """The mark; `START` when there is none, or none that can be trusted.

    Raises:
        OSError: it cannot be read.
    """
    path = folder / "mark"
    if not path.exists():
        return START
    content = path.read_bytes()
    text, _, checksum = content.strip().rpartition(b" ")
    try:
        if int(checksum, 16) == zlib.crc32(text):
            return Position(*map(int, text.split(b" ")))
    except (ValueError, TypeError):
        pass
    log.error("the spool's mark is damaged: what its oldest segment holds is published again", path=str(path))
    return START


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of the data and flush it to the disk.

    Raises:
        OSError: any part of it may be there.
    """
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


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
