"""A request on a connection that has just broken fails as all of aiokafka's tasks expect, on uvloop too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

import tables

assert tables


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


@asynccontextmanager
async def connected() -> AsyncIterator[AIOKafkaConnection]:
    """A connection, versions agreed, to a broker that never answers."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port)
        connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._read_task = connection._create_reader_task()
        connection._versions = {MetadataRequest.API_KEY: (0, 5)}
        yield connection
        connection.close()


@pytest.mark.parametrize("turns", range(6))
async def test_a_request_after_the_break_is_a_broken_connection(turns: int) -> None:
    """`turns` of the event loop after it: the client's own reader notices in the third or so."""
    async with connected() as connection:
        waiting = asyncio.ensure_future(connection.send(MetadataRequest(None)))
        await asyncio.sleep(0.01)
        connection._writer.transport.abort()
        for _ in range(turns):
            await asyncio.sleep(0)
        with pytest.raises(KafkaConnectionError):
            connection.send(MetadataRequest(None))
        with pytest.raises(KafkaConnectionError):
            await waiting
        assert not connection.connected()


@pytest.mark.parametrize("module", ["app.worker", "app.provision", "app.demo.producing", "tables.clients"])
def test_it_is_so_wherever_a_client_is_made(module: str) -> None:
    program = f"import {module}, aiokafka.conn as c; print(c.AIOKafkaConnection.send.__module__)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "tables.broken_connections"
