"""Clients that send or read slowly, or are too many: they are cut or refused, and the others are answered."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.web.harness import HEADERS, Client, Worker, running
from tests.web.raw import PATIENCE_S, RawClient, connect
from tests.worker.harness import eventually
from web.connection import Connection
from web.server import BoundedServer

SLOW = 60
HEAD = b"POST /api/v1/events/ingest HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: shop\r\nContent-Length: 2\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop that workers run on, whose transports are not asyncio's; `test_fuzz_bytes` has the other."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy


def counted(worker: Worker, name: str, label: str) -> float:
    value: float = getattr(worker.metrics, name).labels(label)._value.get()
    return value


async def trickle(raw: RawClient, sent: bytes, every_s: float) -> None:
    """Send a byte, wait, send the next, over and over."""
    while True:
        for i in range(len(sent)):
            raw.writer.write(sent[i : i + 1])
            await asyncio.sleep(every_s)


async def answered_throughout(client: Client, until: asyncio.Future[Any]) -> int:
    """How many ordinary requests were answered, one after the other, until then; at least one."""
    answered = 0
    while not until.done() or not answered:
        async with client.get("/api/v1/customers/ann", headers=HEADERS) as response:
            assert response.status == 200
            await response.read()
        answered += 1
        await asyncio.sleep(0.005)
    return answered


@pytest.mark.parametrize("first_request", [False, True], ids=["at once", "after a request"])
async def test_heads_that_arrive_slowly_are_cut_and_others_answered(
    tmp_path: Path, first_request: bool
) -> None:
    # A head that is longer than what arrives in the time, so that only the time ends it.
    head = HEAD.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 1_500)
    with running(tmp_path, head_timeout_ms=500) as worker:
        worker.know("ann")
        async with worker.client() as client:
            slow = [await connect(client) for _ in range(SLOW)]
            if first_request:
                assert {(await raw.answer(HEALTH)).status for raw in slow} == {200}
            senders = [asyncio.create_task(trickle(raw, head, 0.02)) for raw in slow]
            ends = asyncio.gather(*(raw.ended() for raw in slow))
            answered = await answered_throughout(client, ends)
            assert await ends == [True] * SLOW
            assert answered
            assert counted(worker, "http_connections_cut_total", "slow_head") == SLOW
            for sender in senders:
                sender.cancel()
            for raw in slow:
                await raw.close()


async def test_who_connects_and_sends_nothing_is_cut(tmp_path: Path) -> None:
    with running(tmp_path, head_timeout_ms=200) as worker:
        async with worker.client() as client:
            assert await (await connect(client)).ended()
            assert counted(worker, "http_connections_cut_total", "slow_head") == 1


async def test_an_idle_connection_is_closed_and_one_in_use_is_kept(tmp_path: Path) -> None:
    with running(tmp_path, keep_alive_ms=400, head_timeout_ms=10_000) as worker:
        async with worker.client() as client:
            raw = await connect(client)
            for _ in range(20):
                assert (await raw.answer(HEALTH)).status == 200
                await asyncio.sleep(0.05)
            assert await raw.ended()
            assert counted(worker, "http_connections_cut_total", "slow_head") == 0


async def test_bodies_that_arrive_slowly_are_400_in_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.body.ARRIVAL_TIMEOUT_S", 0.5)
    with running(tmp_path) as worker:
        worker.know("ann")
        async with worker.client() as client:
            slow = [await connect(client) for _ in range(SLOW)]
            for raw in slow:
                raw.writer.write(HEAD.replace(b"Length: 2", b"Length: 2000"))
            senders = [asyncio.create_task(trickle(raw, b" ", 0.02)) for raw in slow]
            ends = asyncio.gather(*(raw.answers() for raw in slow))
            await answered_throughout(client, ends)
            for answers in await ends:
                assert [one.status for one in answers] in ([400], [])
            for sender in senders:
                sender.cancel()


async def test_a_body_nobody_reads_is_waited_for_in_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.server.LINGER_S", 0.3)
    with running(tmp_path) as worker:
        async with worker.client() as client:
            raw = await connect(client)
            sender = asyncio.create_task(trickle(raw, b" ", 0.02))
            # No tenant: it is refused before its body is looked at.
            answers = await raw.answers(
                b"POST /api/v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n"
            )
            assert [one.status for one in answers] == [401]
            sender.cancel()


async def test_who_does_not_read_the_answers_is_cut_and_others_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.connection.READ_S", 0.3)
    with running(tmp_path, head_timeout_ms=400) as worker:
        worker.know("ann")
        async with worker.client() as client:
            slow = [await _deaf(client) for _ in range(3)]
            cut = asyncio.ensure_future(_until_cut(worker, len(slow)))
            senders = [asyncio.create_task(_ask_on(raw)) for raw in slow]
            try:
                assert await answered_throughout(client, cut)
                await cut
            finally:
                for sender in senders:
                    sender.cancel()


async def test_a_closed_connection_whose_last_bytes_nobody_reads_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.connection.READ_S", 0.3)
    with running(tmp_path, keep_alive_ms=300) as worker:
        async with worker.client() as client:
            raw = await _deaf(client)
            assert client.server.runner is not None
            server = client.server.runner.server
            assert isinstance(server, BoundedServer)

            async def something_waits() -> bool:
                raw.writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                await raw.writer.drain()
                await asyncio.sleep(0.02)
                return any(isinstance(one, Connection) and one.unsent_bytes for one in server.connections)

            # Less than what pauses the server: it goes on, is done, and closes the idle connection.
            await eventually(something_waits, PATIENCE_S, "bytes that the client does not take", 0)
            await _until_cut(worker, 1)
            await eventually(lambda: _none_open(server), PATIENCE_S, "the connection is gone")
            raw.writer.close()


async def _none_open(server: BoundedServer) -> bool:
    return not server.connections


async def _deaf(client: Client) -> RawClient:
    """A connection with a small window, whose reader never reads."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (client.host, client.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1)
    return RawClient(reader, writer)


async def _ask_on(raw: RawClient) -> None:
    """Ask for page after page until the worker has enough."""
    try:
        while True:
            raw.writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
            await raw.writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        raw.writer.close()


async def _until_cut(worker: Worker, count: int) -> None:
    async def are_cut() -> bool:
        return counted(worker, "http_connections_cut_total", "slow_reader") >= count

    await eventually(are_cut, PATIENCE_S * 3, f"{count} slow readers cut", 0.02)


async def test_one_connection_too_many_is_503_and_closed_and_there_is_room_again(tmp_path: Path) -> None:
    with running(tmp_path, max_connections=10) as worker:
        async with worker.client() as client:
            open_ = [await connect(client) for _ in range(10)]
            assert [(await raw.answer(HEALTH)).status for raw in open_] == [200] * 10
            refused = await (await connect(client)).answers()
            assert [one.status for one in refused] == [503]
            body = json.loads(refused[0].body)
            assert (body["code"], refused[0].headers["retry-after"]) == ("OVERLOADED", "1")
            assert body["requestId"] == refused[0].headers["x-request-id"]
            assert refused[0].headers["connection"] == "close"
            assert counted(worker, "http_connections_refused_total", "api") == 1
            assert (await open_[0].answer(HEALTH)).status == 200
            await open_.pop().close()

            async def let_in() -> bool:
                found = await (await connect(client)).answers(HEALTH, 0.2)
                return [one.status for one in found] == [200]

            await eventually(let_in, PATIENCE_S, "room for one more", 0.01)
            for raw in open_:
                await raw.close()
