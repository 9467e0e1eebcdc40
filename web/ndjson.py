"""A body of lines, read as it arrives: what is held is one line and what the socket gave last.

Rules:

1.  Lines end with a line feed, the last one with the body. They are numbered from 1; blank ones are left out.
2.  A line past its bound is told as such, and skipped without being held.
3.  What ends the body early (too large, too many lines, too slow, broken off) is an `ApiError` behind the
    lines before it. A line that was cut by it is not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from aiohttp import StreamReader, web

from app.decision.refusals import Problem
from web.errors import ApiError, invalid, too_large

#: The longest silence of a sender, and the longest time that all of a body may take, in seconds.
SILENCE_S = 10.0
ARRIVAL_S = 120.0

_BLANK = b" \t\r"


class Bounds(NamedTuple):
    """What a body may have: bytes in all and in a line, and lines, blank ones included; and seconds."""

    body_bytes: int
    line_bytes: int
    lines: int
    silence_s: float = SILENCE_S
    arrival_s: float = ARRIVAL_S


class Line(NamedTuple):
    """One line by its number; `text` is None when it is longer than a line may be."""

    number: int
    text: bytes | None


class LineReader:
    """The lines of one body."""

    def __init__(self, content: StreamReader, bounds: Bounds) -> None:
        self._content = content
        self._bounds = bounds
        self._held = bytearray()
        self._too_long = False
        #: Lines told or left out so far.
        self.number = 0

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished line is held."""
        return len(self._held)

    async def lines(self) -> AsyncIterator[Line]:
        """Every line, as soon as its end is there.

        Raises:
            ApiError: 413 or 400, when the body ends early; see the rules.
        """
        async for piece in self._pieces():
            for line in self._split(piece):
                yield line
        if self._held or self._too_long:
            for line in self._finish():
                yield line

    async def _pieces(self) -> AsyncIterator[bytes]:
        bounds, read = self._bounds, 0
        deadline_s = asyncio.get_running_loop().time() + bounds.arrival_s
        while piece := await self._piece(deadline_s):
            read += len(piece)
            if read > bounds.body_bytes:
                raise too_large(bounds.body_bytes)
            yield piece

    async def _piece(self, deadline_s: float) -> bytes:
        left_s = deadline_s - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(self._bounds.silence_s, left_s)):
                return await self._content.readany()
        except TimeoutError as error:
            bounds = self._bounds
            allowed = f"silence of {bounds.silence_s:g} s, {bounds.arrival_s:g} s in all"
            raise _stopped(f"arrived too slowly (allowed: {allowed})") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise _stopped("broke off, or is not encoded as its headers say") from error

    def _split(self, piece: bytes) -> Iterator[Line]:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._hold(piece[start:end])
            start = end + 1
            yield from self._finish()
        self._hold(piece[start:])

    def _hold(self, part: bytes) -> None:
        if self._too_long or len(self._held) + len(part) > self._bounds.line_bytes:
            self._too_long = True
            self._held.clear()
        else:
            self._held += part

    def _finish(self) -> Iterator[Line]:
        if self.number >= self._bounds.lines:
            raise too_many_lines(self._bounds.lines)
        self.number += 1
        text, too_long = bytes(self._held), self._too_long
        self._held.clear()
        self._too_long = False
        if too_long:
            yield Line(self.number, None)
        elif text.strip(_BLANK):
            yield Line(self.number, text)


def too_many_lines(most: int) -> ApiError:
    """413: the rest of the body is not read."""
    message = f"The body has more than {most} lines; send the others in another request."
    return ApiError(413, "PAYLOAD_TOO_LARGE", message, headers={"Connection": "close"})


def _stopped(message: str) -> ApiError:
    error = invalid((Problem("", message),))
    error.headers = {"Connection": "close"}
    return error
