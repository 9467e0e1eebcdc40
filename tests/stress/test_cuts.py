"""The three ways in which a connection can be cut, and how it heals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.child import free_ports
from tests.stress.cuts import Gate

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@asynccontextmanager
async def _gate() -> AsyncIterator[tuple[Gate, int]]:
    port, target = free_ports(2)
    server = await asyncio.start_server(_echo, "127.0.0.1", target)
    gate = Gate(port, target)
    await gate.open()
    try:
        yield gate, port
    finally:
        await gate.close()
        server.close()


async def _echoes(streams: Streams, line: bytes, within_s: float = 2.0) -> bool:
    reader, writer = streams
    writer.write(line)
    try:
        async with asyncio.timeout(within_s):
            return await reader.readline() == line
    except TimeoutError:
        return False


async def _is_over(reader: asyncio.StreamReader) -> bool:
    """Whether the connection was closed or reset, within 2 seconds."""
    try:
        return await asyncio.wait_for(reader.read(), 2) == b""
    except ConnectionError:
        return True


async def test_an_open_gate_passes_everything_on() -> None:
    async with _gate() as (_, port):
        streams = await asyncio.open_connection("127.0.0.1", port)
        assert await _echoes(streams, b"one\n")
        streams[1].close()


async def test_refuse_resets_and_refuses() -> None:
    async with _gate() as (gate, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await _echoes((reader, writer), b"one\n")
        await gate.sever("refuse")
        assert await _is_over(reader)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await gate.heal()
        streams = await asyncio.open_connection("127.0.0.1", port)
        assert await _echoes(streams, b"two\n")
        streams[1].close()


async def test_swallow_loses_what_is_sent_and_resets_at_the_end() -> None:
    async with _gate() as (gate, port):
        streams = await asyncio.open_connection("127.0.0.1", port)
        assert await _echoes(streams, b"one\n")
        await gate.sever("swallow")
        assert not await _echoes(streams, b"two\n", 0.2)
        during = await asyncio.open_connection("127.0.0.1", port)
        assert not await _echoes(during, b"three\n", 0.2)
        await gate.heal()
        for reader, _ in (streams, during):
            assert await _is_over(reader)


async def test_stall_delivers_late_and_in_order() -> None:
    async with _gate() as (gate, port):
        streams = await asyncio.open_connection("127.0.0.1", port)
        assert await _echoes(streams, b"one\n")
        await gate.sever("stall")
        assert not await _echoes(streams, b"two\n", 0.2)
        streams[1].write(b"three\n")
        during = await asyncio.open_connection("127.0.0.1", port)
        assert not await _echoes(during, b"four\n", 0.2)
        await gate.heal()
        async with asyncio.timeout(2):
            assert [await streams[0].readline(), await streams[0].readline()] == [b"two\n", b"three\n"]
            assert await during[0].readline() == b"four\n"
        for _, writer in (streams, during):
            writer.close()
