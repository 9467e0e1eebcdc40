"""A kept-alive HTTP/1.1 connection with one request in flight, as lean as the load generator needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """Calls `done(connection, status)` once a response is there; status 0 means that the connection broke."""

    def __init__(self, done: Callable[[Connection, int], None]) -> None:
        self.due_ns = 0
        self.sent_ns = 0
        self.busy = False
        self.open = False
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport, self.open = cast(asyncio.Transport, transport), True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self.busy:
            self.busy = False
            self._done(self, 0)

    def send(self, request: bytes) -> None:
        """Send a whole request. The answer to the one before must be there."""
        self.busy = True
        self._buffer.clear()
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(_END)
        if head < 0 or len(self._buffer) < head + len(_END) + _content_length(self._buffer[:head]):
            return
        self.busy = False
        self._done(self, int(self._buffer[9:12]))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def post(path: str, tenant: str, body: bytes) -> bytes:
    """A request, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nX-Tenant-Id: {tenant}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _content_length(head: bytes | bytearray) -> int:
    at = head.lower().find(_LENGTH)
    if at < 0:
        return 0
    line = head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]
    return int(line)
