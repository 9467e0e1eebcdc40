"""What waits to be folded into one partition: chunks of records, bounded, in the order they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """Records of one customer topic of this partition.

    It stands for the offsets [begin, end), of which some may hold no record. `size` is the bytes of its
    keys and values. `done` says that the chunk is in nobody's hands any more, folded or dropped.
    """

    topic: int
    records: Sequence[Any]
    begin: int
    end: int
    size: int
    done: Callable[[], None]


class Inbox:
    """A bounded queue of chunks. The bounds count records and their bytes, and always admit one chunk.

    It can be shut: what comes then is dropped, since it will be read again from where the state stands.
    """

    def __init__(self, limit_records: int, limit_bytes: int) -> None:
        self._limit_records = limit_records
        self._limit_bytes = limit_bytes
        self._chunks: deque[Chunk] = deque()
        self._records = 0
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.shut = False
        self._openings = 0

    def __len__(self) -> int:
        return len(self._chunks)

    async def put(self, chunk: Chunk, timeout_s: float) -> bool:
        """Whether there is room in time; else the chunk is dropped and the inbox shut."""
        openings = self._openings
        if not self.shut and self._full:
            self._room.clear()
            try:
                await asyncio.wait_for(self._room.wait(), timeout_s)
            except TimeoutError:
                self.shut = True
                chunk.done()
                return False
        if self.shut or openings != self._openings:
            chunk.done()
            return True
        self._chunks.append(chunk)
        self._records += len(chunk.records)
        self._bytes += chunk.size
        self._filled.set()
        return True

    async def wait(self, timeout_s: float) -> bool:
        """Whether there is a chunk; waits for one so long."""
        if self._chunks:
            return True
        self._filled.clear()
        try:
            await asyncio.wait_for(self._filled.wait(), timeout_s)
        except TimeoutError:
            return False
        return bool(self._chunks)

    def take(self) -> Chunk | None:
        """The oldest chunk, or None."""
        if not self._chunks:
            return None
        chunk = self._chunks.popleft()
        self._records -= len(chunk.records)
        self._bytes -= chunk.size
        if not self._full:
            self._room.set()
        return chunk

    def reopen(self) -> None:
        """Take chunks again. What waited for room meanwhile is dropped like all before."""
        self.shut = False
        self._openings += 1

    def close(self) -> None:
        """Shut it and drop what waits."""
        self.shut = True
        while self._chunks:
            self._chunks.popleft().done()
        self._records = self._bytes = 0
        self._room.set()
        self._filled.set()

    @property
    def _full(self) -> bool:
        return self._records > self._limit_records or self._bytes > self._limit_bytes
