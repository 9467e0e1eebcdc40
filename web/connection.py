"""One client's connection: aiohttp's, with bounds on what a client may hold and for how long.

Rules:

1.  A request's line and headers arrive whole within a time, from their first byte (or from the connection's
    start), and have a size. The parser bounds each line and their number; here is the sum.
2.  Whatever cannot be read is answered once, as JSON, and nothing after it is read: it could be a request
    hidden in another one.
3.  A client that does not take its answer is cut: what waits for it is memory. It has a time that grows with
    what waits; the same goes for the last bytes of a connection that was closed.
4.  Time is looked at by the server's rounds (`server`), not by a timer for each request.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

import structlog
from aiohttp import hdrs
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, BadStatusLine
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web import BaseRequest, RequestPayloadError, Response, StreamResponse
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from web.caller import request_id
from web.errors import internal_error
from web.malformed import HeadTooLargeError, malformed, reason_of
from web.view import render, to_response

log = structlog.get_logger(__name__)

#: A client whose answer waits has this long, s, to go on reading it, and a second more for so many bytes.
READ_S = 10.0
READ_BYTES_PER_S = 65_536

_UNREADABLE = 400


class Door(Protocol):
    """What a connection asks of its server."""

    head_limit_bytes: int

    def refuse(self) -> bytes | None:
        """The answer for a connection too many; None when there is room."""
        ...

    def malformed(self, reason: str) -> None:
        """Count a request that could not be read."""
        ...

    def chance(self) -> str:
        """Digits for a request id."""
        ...


class Connection(RequestHandler):
    """A connection from its first byte to its last."""

    __slots__ = ("_broken", "_door", "_head_bytes", "_head_since_s", "_patience_s", "_pipe", "_stuck_since_s")

    def __init__(self, server: Any, door: Door, **options: Any) -> None:
        super().__init__(server, **options)
        self._door = door
        self._pipe: asyncio.Transport | None = None
        self._broken = False
        self._head_bytes = 0
        #: By the loop's clock; 0 while no head is arriving.
        self._head_since_s = 0.0
        self._stuck_since_s = 0.0
        self._patience_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance of it: uvloop's own is none.
        pipe = cast(asyncio.Transport, transport)
        refusal = self._door.refuse()
        if refusal is not None:
            self._force_close, self._manager = True, None
            pipe.write(refusal)
            pipe.close()
            return
        self._pipe = pipe
        self._head_since_s = self._loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        before = self._request_count
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001
            # What the parser did not foresee, of bytes that anybody may send: no stack, the same answer.
            log.warning("a request's head broke the parser", error=repr(error))
            self._break_off(error)
            return
        if self._request_count != before:
            self._heads_arrived(self._request_count - before, len(data))
        elif data and self._awaits_head(before):
            self._head_goes_on(len(data))

    def overdue(self, now_s: float, head_s: float) -> str | None:
        """Why this connection is to be cut now; None while it is not.

        Args:
            now_s: by the loop's clock.
            head_s: how long a head may take.
        """
        pipe = self._pipe
        if pipe is None:
            return None
        if pipe.is_closing() or self._paused:
            if not self._stuck_since_s:
                self._stuck_since_s = now_s
                self._patience_s = READ_S + self.unsent_bytes / READ_BYTES_PER_S
            return "slow_reader" if now_s - self._stuck_since_s > self._patience_s else None
        self._stuck_since_s = 0.0
        return "slow_head" if self._head_since_s and now_s - self._head_since_s > head_s else None

    @property
    def unsent_bytes(self) -> int:
        """What waits for the client to take it, beyond what the system holds."""
        return 0 if self._pipe is None else self._pipe.get_write_buffer_size()

    def cut(self) -> None:
        """End the connection now, whatever waits to be sent."""
        if self._pipe is not None:
            self.force_close()
            self._pipe.abort()

    def log_exception(self, *args: Any, **details: Any) -> None:
        """Log what failed here; what a client did wrong is counted instead."""
        if isinstance(details.get("exc_info"), RequestPayloadError):
            self._door.malformed("body")
        else:
            super().log_exception(*args, **details)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """The answer when there is no view to give one. The connection ends with it."""
        if isinstance(exc, ConnectionError):
            raise ConnectionError("the client is gone") from exc
        own_id = request_id(request.headers, self._door.chance)
        if status == _UNREADABLE and exc is not None:
            self._door.malformed(reason_of(exc))
            error = malformed(exc)
        else:
            log.error("a request failed outside its view", request_id=own_id, exc_info=exc)
            error = internal_error()
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: there is no place for an error")
        response: Response = to_response(render(error, own_id), own_id)
        response.force_close()
        return response

    def _awaits_head(self, requests: int) -> bool:
        waiter = self._waiter
        return not requests or (waiter is not None and not waiter.done())

    def _heads_arrived(self, count: int, size: int) -> None:
        waited, self._head_bytes, self._head_since_s = self._head_bytes, 0, 0.0
        limit = self._door.head_limit_bytes
        if count == 1 and waited + size <= limit and self._is_plain(self._messages[-1][0]):
            return
        first = max(len(self._messages) - count, 0)
        for place in range(first, len(self._messages)):
            message = self._messages[place][0]
            if isinstance(message, _ErrInfo):
                self._broken = True
            elif (problem := _head_problem(message, limit)) is not None:
                while len(self._messages) > place:
                    self._messages.pop()
                self._break_off(problem)
                return

    @staticmethod
    def _is_plain(message: RawRequestMessage | _ErrInfo) -> bool:
        return not isinstance(message, _ErrInfo) and message.version is HttpVersion11 and not message.chunked

    def _head_goes_on(self, size: int) -> None:
        if not self._head_since_s:
            self._head_since_s = self._loop.time()
        self._head_bytes += size
        if self._head_bytes > self._door.head_limit_bytes:
            self._break_off(HeadTooLargeError(self._door.head_limit_bytes))

    def _break_off(self, error: Exception) -> None:
        """Answer that this cannot be read, after what was read before it, and read no more."""
        self._broken, self._head_since_s = True, 0.0
        told = error if isinstance(error, BadHttpMessage) else BadHttpMessage("it cannot be read")
        self._messages.append((_ErrInfo(_UNREADABLE, told, told.message), EMPTY_PAYLOAD))
        self._request_count += 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _head_problem(message: RawRequestMessage, limit_bytes: int) -> BadHttpMessage | None:
    """What is wrong with a request's line and headers that the parser lets by."""
    if message.version not in (HttpVersion11, HttpVersion10):
        return BadStatusLine()
    if message.chunked and message.headers[hdrs.TRANSFER_ENCODING].strip().lower() != "chunked":
        # The parser takes off the chunks alone: what is in them would be read as it was packed.
        return BadHttpMessage("its Transfer-Encoding is not chunked alone")
    lines = sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
    if len(message.method) + len(message.path) + lines + 14 > limit_bytes:
        return HeadTooLargeError(limit_bytes)
    return None
