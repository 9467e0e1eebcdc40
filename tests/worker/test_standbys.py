"""Standbys: a takeover that reads nothing, whatever became of the owner. On Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tables.layout import OFFSET_KEY
from tables.store import PartitionStore, StoreMemory
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, produce_events
from tests.worker.shop import TENANT
from tests.worker.test_routing import CUSTOMERS, two_workers

pytestmark = [pytest.mark.kafka]

EVENTS = 20_000


def _log(worker: WorkerProcess, event: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line.get("event") == event]


def _content(worker: WorkerProcess, number: int) -> dict[bytes, bytes]:
    folder = worker.settings.data_dir / worker.settings.app_id / "stores" / f"{number}.db"
    store = PartitionStore(folder, StoreMemory(8 << 20, 4 << 20))
    try:
        return {key: value for key, value in store.scan(b"") if key != OFFSET_KEY}
    finally:
        store.close()


async def _level(client: Client, copies: int) -> bool:
    _, body = await client.get("/ready")
    standbys = body.get("standbys", [])
    return len(standbys) == copies and all(each["lag"] == 0 for each in standbys)


async def _settled(one: Client, two: Client) -> None:
    """Wait until nothing more is written, and the copies have read all of it."""
    written = -1.0

    async def still() -> bool:
        nonlocal written
        pages = [(await client.get("/metrics"))[1] for client in (one, two)]
        name = "offertide_changelog_records_total "
        lines = [line for page in pages for line in page.splitlines() if line.startswith(name)]
        before, written = written, sum(float(line.split()[1]) for line in lines)
        await asyncio.sleep(1.0)
        return before == written and await _level(one, 4) and await _level(two, 4)

    await eventually(still, 60, "everything is written and copied")


async def _counted(client: Client, total: int) -> bool:
    counts = [await client.get(f"/api/v1/customers/{name}") for name in CUSTOMERS]
    found = [body["metrics"].get("purchases", 0) for status, body in counts if status == 200]
    return bool(sum(found) == total)


def _events(count: int) -> list[tuple[str, dict[str, Any]]]:
    return [
        (CUSTOMERS[n % len(CUSTOMERS)], {"type": "purchase", "data": {"amount": 1.0}}) for n in range(count)
    ]


@asynccontextmanager
async def _two_level(
    kafka: KafkaCluster, app_id: str, folder: Path
) -> AsyncIterator[tuple[tuple[WorkerProcess, Client], tuple[WorkerProcess, Client]]]:
    """Two workers that have counted `EVENTS` events, each with level copies of the other's partitions."""
    async with two_workers(kafka, app_id, folder) as ((first, one), (second, two)):
        await produce_events(Broker(kafka.bootstrap, "kafka"), app_id, _events(EVENTS), TENANT)
        await eventually(lambda: _counted(one, EVENTS), 60, "all events counted")
        await _settled(one, two)
        yield (first, one), (second, two)


async def test_a_killed_workers_partitions_go_on_from_their_copies(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with _two_level(kafka_cluster, app_id, tmp_path) as ((first, one), (second, _)):
        owned = {each["partition"] for each in _log(second, "partition ready")[-4:]}
        second.kill()
        await eventually(lambda: _counted(one, EVENTS), 30, "the other worker answers for all")
        promoted = [each for each in _log(first, "partition recovered") if each["standby"]]
        assert {each["partition"] for each in promoted} == owned
        # A batch or two that the owner wrote last, where twenty thousand events were folded.
        assert sum(each["records"] for each in promoted) < 200
        broker = Broker(kafka_cluster.bootstrap, "kafka")
        await produce_events(broker, app_id, _events(100), TENANT)
        await eventually(lambda: _counted(one, EVENTS + 100), 30, "it counts on")


async def test_a_copy_equals_the_owners_store_and_a_rebuilt_one(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with _two_level(kafka_cluster, app_id, tmp_path) as ((first, one), (second, _)):
        first.kill()
        second.kill()
        for number in range(8):
            assert _content(first, number) == _content(second, number)
        shutil.rmtree(first.settings.data_dir / app_id)
        first.start()
        await one.ready(60)
        await eventually(lambda: _counted(one, EVENTS), 30, "rebuilt")
        before = {number: _content(second, number) for number in range(8)}
        first.kill()
        for number in range(8):
            rebuilt = _content(first, number)
            # The control record tells of the restart.
            assert {**rebuilt, b"Z": b""} == {**before[number], b"Z": b""}
