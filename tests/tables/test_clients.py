"""Kafka clients that cannot connect, or are called off meanwhile, leave nothing open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from agents.scoreboard import ScoreboardReader
from config.metrics import new_metrics
from config.settings import Settings
from tables.clients import lone_consumer, started_producer
from tables.scoreboard import Scoreboard


@asynccontextmanager
async def nothing_left_open() -> AsyncIterator[None]:
    """Fails when a client is collected that was not closed: aiokafka tells the loop of each."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    yield
    gc.collect()
    assert [context["message"] for context in told] == []


@asynccontextmanager
async def mute_broker() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Where a broker listens that never answers, and what says that somebody asked."""
    asked = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def _producer(bootstrap: str) -> None:
    await started_producer(bootstrap_servers=[bootstrap])


async def _consumer(bootstrap: str) -> None:
    async with lone_consumer([bootstrap], fetch_wait_ms=50):
        pass


async def _scoreboard(bootstrap: str) -> None:
    """One try of the reader's task."""
    settings = Settings(broker=bootstrap)
    await ScoreboardReader(settings, Scoreboard(), new_metrics())._follow()


Connect = Callable[[str], Coroutine[Any, Any, None]]
both = pytest.mark.parametrize("connect", [_producer, _consumer, _scoreboard])


async def _call_off(connecting: asyncio.Task[None], asked: asyncio.Event) -> None:
    await asked.wait()
    connecting.cancel()
    await asyncio.wait([connecting])
    assert connecting.cancelled()


@both
async def test_a_client_without_a_broker_is_closed(connect: Connect) -> None:
    async with nothing_left_open():
        with pytest.raises(KafkaConnectionError):
            await connect("127.0.0.1:1")


@both
async def test_a_client_that_is_called_off_is_closed(connect: Connect) -> None:
    async with nothing_left_open(), mute_broker() as (bootstrap, asked):
        await _call_off(asyncio.create_task(connect(bootstrap)), asked)
