"""A disk that is full for a while: its partitions wait for room, and nothing is lost or counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.stress.disk import Disk, compile_shim
from tests.worker.harness import Client, WorkerProcess, eventually, produce_events, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]

CUSTOMERS = [f"C{number}" for number in range(40)]


def _events(count: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (CUSTOMERS[n % len(CUSTOMERS)], {"type": "purchase", "data": {"amount": 1.0}}) for n in range(count)
    ]


async def _not_ready(client: Client) -> list[str]:
    _, body = await client.get("/ready")
    return [each["reason"] for each in body["notReady"]]


async def _counts(client: Client) -> int:
    answers = [await client.get(f"/api/v1/customers/{name}") for name in CUSTOMERS]
    return sum(int(body["metrics"]["purchases"]) for status, body in answers if status == 200)


async def test_partitions_wait_for_room_on_a_full_disk_and_go_on(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path / "data")
    disk = Disk(compile_shim(tmp_path), settings.data_dir / app_id, tmp_path / "disk")
    worker = WorkerProcess(settings, environment=disk.environment)
    await import_shop(settings)
    with worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            await produce_events(broker, app_id, _events(400), TENANT)
            disk.fill()
            await produce_events(broker, app_id, _events(400), TENANT)

            async def all_say_so() -> bool:
                reasons = await _not_ready(client)
                return len(reasons) == 8 and all("No space left" in reason for reason in reasons)

            await eventually(all_say_so, 20, "every partition says that the disk is full")
            disk.heal()
            await client.ready()
            assert await _counts(client) == 800
            disk.fill()
            await produce_events(broker, app_id, _events(40), TENANT)
            await eventually(all_say_so, 20, "again")
            assert worker.stop() == 0, worker.tail()
            disk.heal()
            worker.start()
            await client.ready()
            assert await _counts(client) == 840
