"""Which keys must queue behind the spool: counters in a table of fixed size, by a hash of the key.

Two keys may share a slot; then one queues behind the other for nothing. None ever overtakes itself.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

_SLOTS = 1 << 16

#: Records of a slot that may be on their way to Kafka without the spool.
DIRECT_MAX = 200


class Slots:
    """Records in the spool, and on their way past it, by slot."""

    def __init__(self) -> None:
        self._spooled = _zeros()
        self._direct = _zeros()

    def blocked(self, key: bytes, count: int) -> bool:
        """Whether so many more records of the key may not go past the spool now."""
        slot = _slot(key)
        return self._spooled[slot] > 0 or self._direct[slot] + count > DIRECT_MAX

    @contextmanager
    def direct(self, key: bytes, count: int) -> Iterator[None]:
        """So many records of the key are on their way past the spool."""
        slot = _slot(key)
        self._direct[slot] += count
        try:
            yield
        finally:
            self._direct[slot] -= count

    def enter(self, key: bytes) -> None:
        """A record of the key is in the spool."""
        self._spooled[_slot(key)] += 1

    def leave(self, key: bytes) -> None:
        """One is not any more."""
        self._spooled[_slot(key)] -= 1

    def empty(self) -> None:
        """Nothing is in the spool."""
        self._spooled = _zeros()


def _zeros() -> array[int]:
    return array("q", bytes(8 * _SLOTS))


def _slot(key: bytes) -> int:
    return zlib.crc32(key) & (_SLOTS - 1)
