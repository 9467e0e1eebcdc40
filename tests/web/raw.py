"""HTTP as bytes on a socket: what no client library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.web.harness import Client

#: A test that waits for longer has failed.
PATIENCE_S = 20.0


@dataclass(frozen=True)
class RawAnswer:
    """One answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answers(self, sent: bytes = b"", quiet_s: float | None = None) -> list[RawAnswer]:
        """All answers, to what is sent first, until the worker closes; or until we do, after some silence."""
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                self.writer.write(sent)
                while chunk := await asyncio.wait_for(self.reader.read(65_536), quiet_s):
                    received += chunk
            except (ConnectionError, TimeoutError):
                # Closed while we still sent: what had come before may be lost with it.
                await self.close()
        return parse_answers(received)

    async def answer(self, sent: bytes) -> RawAnswer:
        """The answer to one request; the connection stays."""
        async with asyncio.timeout(PATIENCE_S):
            self.writer.write(sent)
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(_headers(head).get("content-length", "0"))
            return parse_answers(head + await self.reader.readexactly(length))[0]

    async def ended(self) -> bool:
        """Whether the worker ends the connection; waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                await self.reader.read(-1)
        return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


async def connect(client: Client, **options: Any) -> RawClient:
    """A connection to a client's server."""
    return RawClient(*await asyncio.open_connection(client.host, client.port, **options))


async def exchange(client: Client, sent: bytes, quiet_s: float | None = None) -> list[RawAnswer]:
    """What a worker answers to these bytes on a connection of their own."""
    raw = await connect(client)
    try:
        return await raw.answers(sent, quiet_s)
    finally:
        await raw.close()


def parse_answers(received: bytes) -> list[RawAnswer]:
    """The answers of a connection; fails when there is anything else in it."""
    found = []
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        assert separator, head
        assert head.startswith(b"HTTP/1."), head
        status, headers = int(head[9:12]), _headers(head)
        if status == 100:
            continue
        length = int(headers.get("content-length", "0"))
        found.append(RawAnswer(status, headers, received[:length]))
        received = received[length:]
    return found


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = [line.split(": ", 1) for line in lines if line]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), f"a header came twice: {lines}"
    return {name.lower(): value for name, value in pairs}
