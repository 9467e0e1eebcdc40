"""A worker whose connections to Kafka break again and again, while it works, goes on as if they had not."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.stress.cuts import Gate
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

DOOR = "GATED"
#: Together twenty seconds. Without `tables/broken_connections.py` the first tasks end within a few of them.
CUTS = 200
EVERY_S = 0.1
CALLERS = 8
#: Closing resets, as a host does that is gone: what follows a plain end never meets uvloop's RuntimeError.
LINGER = struct.pack("ii", 1, 0)


@pytest.fixture
def kafka() -> Iterator[KafkaCluster]:
    with KafkaCluster(doors=[DOOR]) as cluster:
        yield cluster


def _reset(gate: Gate) -> None:
    """Every connection to Kafka, at once."""
    for side in tuple(gate.sides):
        if side.transport is not None and not side.transport.is_closing():
            side.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            side.abort()


async def _buy(client: Client, caller: int) -> None:
    """Every answer is 200, or a 503 to be tried again, or 404 while the first event waits in the spool."""
    for number in itertools.count():
        body = {"type": "purchase", "customerId": f"C{caller}-{number % 20}"}
        for path in ("/api/v1/events/ingest", "/api/v1/recommend"):
            status, answer = await client.post(path, body if "events" in path else body | {"limit": 1})
            assert status in (200, 404, 503), answer


@asynccontextmanager
async def callers(client: Client) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        buying = [group.create_task(_buy(client, caller)) for caller in range(CALLERS)]
        yield
        for task in buying:
            task.cancel()


async def test_it_is_whole_afterwards(kafka: KafkaCluster, app_id: str, tmp_path: Path) -> None:
    door = kafka.door(1, DOOR)
    gate = Gate(door.advertised_port, door.port)
    await gate.open()
    settings = settings_for(Broker(door.address, "kafka"), app_id, tmp_path)
    await import_shop(settings)
    with WorkerProcess(settings) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            async with callers(client):
                for _ in range(CUTS):
                    _reset(gate)
                    await asyncio.sleep(EVERY_S)
                    assert worker.running, worker.tail()
            await client.ready()

            async def kept() -> bool:
                body = {"type": "purchase", "customerId": "C1"}
                status, answer = await client.post("/api/v1/events/ingest", body)
                return status == 200 and answer.get("streamId") is not None

            await eventually(kept, 30, "an event is on Kafka, not in the spool")
            await import_shop(settings, categories=[{"id": "music", "name": "Renamed"}])

            async def renamed() -> bool:
                status, category = await client.get("/api/v1/categories/music")
                return status == 200 and category["name"] == "Renamed"

            await eventually(renamed, 30, "the category's new name")
            await client.ready()
        log = worker.log.read_text()
        assert "has ended" not in log, "no client died of it"
    await gate.close()
