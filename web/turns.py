"""Turns: calls that stand for the same thing go one after another, where each must first find out something.

Rules:

1.  Nothing awaits between the end of a wait and the turn that is taken then.
2.  There are as many turns as calls that have one; each ends with its call at the latest.
3.  Who waits is not let in by time: the wait ends with the turns before it, or in a TimeoutError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from types import TracebackType
from typing import Self


class Turns:
    """Whose turn it is, by what the calls stand for."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._taken)

    async def take(self, of: Hashable, timeout_s: float) -> Turn:
        """The turn, once nobody else has it; at once when nobody has.

        Raises:
            TimeoutError: others had it all the time.
        """
        if of in self._taken:
            async with asyncio.timeout(timeout_s):
                while (other := self._taken.get(of)) is not None:
                    await other.wait()
        self._taken[of] = asyncio.Event()
        return Turn(self, of)

    def _end(self, of: Hashable) -> None:
        self._taken.pop(of).set()


class Turn:
    """A turn that was taken: ends when it is told to, or with its block."""

    __slots__ = ("_of", "_turns")

    def __init__(self, turns: Turns, of: Hashable) -> None:
        self._turns: Turns | None = turns
        self._of = of

    def end(self) -> None:
        """Let the next one in; nothing when it ended before."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns._end(self._of)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
