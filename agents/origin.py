"""Where and when a record was first written, as headers say; and whether its customer has folded it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from app.decision.state import Customer
from config.topics import DECISIONS, EVENTS, HEADER_WRITTEN, PROFILES, RESPONSES

#: Records of these topics may be re-keyed.
_TOPICS = frozenset({EVENTS, RESPONSES, DECISIONS, PROFILES})

#: Offsets are signed 64-bit integers.
_OFFSET_MAX = 2**63 - 1

_INSTANT = re.compile(rb"[0-9]{1,15}")

_ORIGIN = re.compile(rb"([a-z-]{1,64})/([0-9]{1,6})/([0-9]{1,19})")


class Origin(msgspec.Struct, frozen=True):
    """Where a record was first written."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: bytes) -> Origin:
        """Raises ValueError when the text is no origin: anybody may have written it."""
        found = _ORIGIN.fullmatch(text)
        if found is None:
            raise ValueError("must be topic/partition/offset")
        topic, partition, offset = found[1].decode(), int(found[2]), int(found[3])
        if topic not in _TOPICS:
            raise ValueError(f"unknown topic {topic[:100]!r}")
        if offset >= _OFFSET_MAX:
            raise ValueError("the offset is beyond 64 bits")
        return cls(topic, partition, offset)


def header_of(record: Any, name: str) -> bytes | None:
    """The first header of this name."""
    headers: Iterable[tuple[str, bytes | None]] = record.headers
    for header, value in headers:
        if header == name:
            return value
    return None


def first_written_ms(record: Any) -> int:
    """When a re-keyed record was first written, epoch ms; workers of before did not say."""
    written = header_of(record, HEADER_WRITTEN) or b""
    return int(written) if _INSTANT.fullmatch(written) else int(record.timestamp)


def folded_before(customer: Customer, topic: int | None, origin: Origin) -> bool:
    """Whether the customer has folded what was written there; `topic` is None for a re-keyed record."""
    if topic is not None:
        return origin.offset < customer.watermarks[topic]
    return origin.offset < customer.rekeyed.get(f"{origin.topic}/{origin.partition}", 0)


def note_folded(customer: Customer, topic: int | None, origin: Origin) -> None:
    """The customer folds what was written there."""
    if topic is None:
        customer.rekeyed[f"{origin.topic}/{origin.partition}"] = origin.offset + 1
    else:
        customer.watermarks[topic] = origin.offset + 1
