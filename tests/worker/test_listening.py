"""A worker as a process, at its ports: operations on their own, slow clients cut, a stop among them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest

from app.child import free_ports
from app.embedded import EmbeddedBroker
from tests.kafka.broker import Broker
from tests.web.raw import RawClient
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

SLOW = 50


@pytest.mark.embedded
async def test_operations_on_their_own_port_and_slow_clients(
    embedded_broker: EmbeddedBroker, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(embedded_broker.bootstrap, "embedded")
    settings = settings_for(
        broker, app_id, tmp_path, ops_port=free_ports(1)[0], head_timeout_ms=1_000, max_connections=100
    )
    await import_shop(settings)
    worker = WorkerProcess(settings)
    operations = f"http://127.0.0.1:{settings.ops_port}"
    with worker:
        async with Client(worker.url, TENANT) as api, Client(operations, TENANT) as ops:
            await ops.ready()
            assert (await api.get("/ready"))[0] == 404
            assert (await ops.get("/api/v1/topology"))[0] == 404
            status, topology = await api.get("/api/v1/topology")
            assert (status, topology["partitions"][0]["url"]) == (200, worker.url)
            slow = [await _connected(settings.web_port) for _ in range(SLOW)]
            senders = [asyncio.create_task(_trickle(raw)) for raw in slow]
            ends = asyncio.gather(*(raw.ended() for raw in slow))
            answered = 0
            while not ends.done():
                event = {"type": "purchase", "customerId": f"C{answered % 8}", "data": {"amount": 1.0}}
                assert (await api.post("/api/v1/events/ingest", event))[0] == 200
                answered += 1
            assert answered
            _, page = await ops.get("/metrics")
            assert f'offertide_http_connections_cut_total{{reason="slow_head"}} {SLOW}.0' in page
            for sender in senders:
                sender.cancel()

            async def counted() -> bool:
                return 'offertide_http_connections{bind="ops"} 1.0' in (await ops.get("/metrics"))[1]

            await eventually(counted, 20, "the gauge follows")
        # Stops among clients that hold on: an idle one, half a head, half a body.
        held = [await _connected(settings.web_port) for _ in range(3)]
        held[1].writer.write(b"POST /api/v1/")
        held[2].writer.write(
            b"POST /api/v1/recommend HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: %s\r\nContent-Length: 9\r\n\r\n{"
            % TENANT.encode()
        )
        assert await asyncio.to_thread(worker.stop) == 0, worker.tail()
        assert "worker stopped" in worker.tail()
        assert "Traceback" not in worker.log.read_text()
        for raw in held:
            assert await raw.ended()


@pytest.mark.embedded
async def test_a_taken_port_of_operations_is_said_in_a_sentence(
    embedded_broker: EmbeddedBroker, app_id: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        broker = Broker(embedded_broker.bootstrap, "embedded")
        settings = settings_for(broker, app_id, tmp_path)
        settings = msgspec.structs.replace(settings, ops_port=taken.getsockname()[1])
        for options in ((), ("--workers", "1")):
            worker = WorkerProcess(settings, *options)
            worker.start()
            assert await asyncio.to_thread(worker.wait, 30) == 1
            assert f"127.0.0.1:{settings.ops_port} (OFFERTIDE_OPS_PORT) is taken" in worker.tail()
            assert "Traceback" not in worker.tail()


async def _connected(port: int) -> RawClient:
    return RawClient(*await asyncio.open_connection("127.0.0.1", port))


async def _trickle(raw: RawClient) -> None:
    head = b"POST /api/v1/events/ingest HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 4_000
    for i in range(len(head)):
        raw.writer.write(head[i : i + 1])
        await asyncio.sleep(0.05)
