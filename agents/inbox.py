"""What waits to be folded into one partition: chunks of records, bounded, in the order they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """Records of one customer topic of this partition.

    It stands for the offsets [begin, end), of which some may hold no record. `done` says that the chunk is
    in nobody's hands any more, folded or dropped.
    """

    topic: int
    records: Sequence[Any]
    begin: int
    end: int
    done: Callable[[], None]


class Inbox:
    """A bounded queue of chunks; the bound counts records, and always admits one chunk."""

    def __init__(self, limit_records: int) -> None:
        self._limit = limit_records
        self._chunks: deque[Chunk] = deque()
        self._records = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    async def put(self, chunk: Chunk) -> None:
        """Add a chunk, waiting for room. After `close` chunks are dropped."""
        while not self._closed and self._records > self._limit:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            chunk.done()
            return
        self._chunks.append(chunk)
        self._records += len(chunk.records)
        self._filled.set()

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
        if self._records <= self._limit:
            self._room.set()
        return chunk

    def close(self) -> None:
        """Drop what waits; it will be read again by whoever owns the partition next."""
        self._closed = True
        while self._chunks:
            self._chunks.popleft().done()
        self._records = 0
        self._room.set()
        self._filled.set()
