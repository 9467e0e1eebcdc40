"""What of the spool cannot be read as records: said, and kept in the folder `set-aside` for whoever looks."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from tables.spool_mark import Position, flush_folder

log = structlog.get_logger(__name__)


def set_aside(segment: Path, begin: int, end: int) -> None:
    """Keep the bytes [begin, end) of a segment, and say that they are no records.

    Raises:
        OSError: they may not be kept.
    """
    if not segment.exists():
        log.error(
            "a segment of the spool was removed: events are missing from Kafka",
            segment=str(segment),
            lost_bytes=end - begin,
        )
        return
    with segment.open("rb") as file:
        file.seek(begin)
        place = keep(segment, begin, file.read(end - begin))
    log.error(
        "part of the spool is damaged and was set aside: events are missing from Kafka",
        place=str(place),
        damaged_bytes=end - begin,
    )


def keep(segment: Path, begin: int, data: bytes) -> Path:
    """The file with what a segment holds from `begin` on; it is on the disk.

    Raises:
        OSError: it may not be.
    """
    number = int(segment.name.partition(".")[0])
    place = segment.parent / "set-aside" / f"{number}-{begin}.damaged"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    flush_folder(place.parent)
    return place


def within(marked: Position, size: int, segment: Path) -> Position:
    """The mark, not beyond the end of its segment of `size` bytes: who wrote it had published that far."""
    if marked.offset <= size:
        return marked
    log.error(
        "the end of a spool segment is lost, up to its mark at least: events may be missing from Kafka",
        segment=str(segment),
        mark=marked.offset,
        size=size,
    )
    return Position(marked.segment, size)
