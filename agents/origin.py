"""Where a record was first written: a header of re-keyed records and of dead letters."""

from __future__ import annotations

import re

import msgspec

from config.topics import DECISIONS, EVENTS, PROFILES, RESPONSES

#: Records of these topics may be re-keyed.
_TOPICS = frozenset({EVENTS, RESPONSES, DECISIONS, PROFILES})

#: Offsets are signed 64-bit integers.
_OFFSET_MAX = 2**63 - 1

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
