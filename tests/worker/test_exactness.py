"""Every event counts exactly once, whatever process dies. On Apache Kafka: its log outlives the worker."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, produce_events, settings_for
from tests.worker.shop import TENANT, import_shop

#: How many events; a developer in a hurry may lower it, CI does not.
EVENTS = int(os.environ.get("EXACTNESS_EVENTS", "300000"))
CUSTOMERS = 5_000

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def _events(first: int, last: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(first, last):
        yield f"C{number * 7919 % CUSTOMERS}", {"type": "purchase", "data": {"amount": 1.25}}


def _expected(events: int) -> Counter[str]:
    return Counter(customer for customer, _ in _events(0, events))


async def _count(clients: Sequence[Client], customer: str) -> tuple[int, float]:
    """The customer's purchases and spend, from whichever worker owns it."""
    for _ in range(600):
        for client in clients:
            status, body = await client.get(f"/api/v1/customers/{customer}")
            if status == 200:
                return int(body["metrics"]["purchases"]), float(body["metrics"]["spend"])
            if status == 404:
                return 0, 0.0
        await asyncio.sleep(0.1)
    raise AssertionError(f"nobody answers for {customer}")


async def _counts(clients: Sequence[Client]) -> dict[str, tuple[int, float]]:
    names = [f"C{number}" for number in range(CUSTOMERS)]
    counts: dict[str, tuple[int, float]] = {}
    for start in range(0, CUSTOMERS, 200):
        part = names[start : start + 200]
        found = await asyncio.gather(*(_count(clients, name) for name in part))
        counts.update(zip(part, found, strict=True))
    return counts


async def _assert_exact(clients: Sequence[Client], events: int) -> None:
    expected = {name: (count, count * 1.25) for name, count in _expected(events).items()}

    async def folded() -> bool:
        sample = [await _count(clients, f"C{number}") for number in range(0, CUSTOMERS, 500)]
        return sum(count for count, _ in sample) >= sum(
            expected[f"C{n}"][0] for n in range(0, CUSTOMERS, 500)
        )

    await eventually(folded, 120, "all events folded")
    counts = await _counts(clients)
    wrong = {name: (counts[name], expected[name]) for name in expected if counts[name] != expected[name]}
    assert wrong == {}, f"{len(wrong)} customers wrong (found, expected)"


async def _some_folded(client: Client, at_least: int) -> None:
    async def folded() -> bool:
        try:
            _, page = await client.get("/metrics")
        except aiohttp.ClientError:
            return False
        lines = [line for line in page.splitlines() if line.startswith("offertide_records_folded_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines) >= at_least

    await eventually(folded, 120, f"{at_least} records folded")


async def test_killed_twice_in_the_middle_with_and_without_its_files(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path / "worker")
    worker = WorkerProcess(settings)
    await import_shop(settings)
    await produce_events(broker, app_id, _events(0, EVENTS // 2), TENANT)
    with worker:
        async with Client(worker.url, TENANT) as client:
            await _some_folded(client, EVENTS // 10)
            worker.kill()
            worker.start()
            producing = asyncio.create_task(
                produce_events(broker, app_id, _events(EVENTS // 2, EVENTS), TENANT)
            )
            await _some_folded(client, EVENTS // 5)
            worker.kill()
            shutil.rmtree(settings.data_dir / app_id)
            worker.start()
            await producing
            await client.ready()
            await _assert_exact([client], EVENTS)
            assert worker.stop() == 0, worker.tail()
            worker.start()
            await client.ready()
            await _assert_exact([client], EVENTS)


async def test_a_second_worker_joins_leaves_and_is_killed(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    first = WorkerProcess(settings_for(broker, app_id, tmp_path / "1"))
    second = WorkerProcess(settings_for(broker, app_id, tmp_path / "2"))
    await import_shop(first.settings)
    with first, second:
        second.kill()
        async with Client(first.url, TENANT) as one, Client(second.url, TENANT) as two:
            await one.ready()
            producing = asyncio.create_task(produce_events(broker, app_id, _events(0, EVENTS), TENANT))
            await _some_folded(one, EVENTS // 20)
            second.start()
            await two.ready()
            await _some_folded(two, EVENTS // 20)
            assert second.stop() == 0, second.tail()
            await one.ready()
            second.start()
            await two.ready()
            second.kill()
            await producing
            await _assert_exact([one], EVENTS)


async def test_two_workers_killed_at_random_while_a_node_of_three_goes_and_returns(
    app_id: str, tmp_path: Path
) -> None:
    chance = random.Random(20261121)
    with KafkaCluster(nodes=3) as kafka:
        broker = Broker(kafka.bootstrap, "kafka")
        cluster = {"replicas": 3, "min_insync_replicas": 2}
        workers = [
            WorkerProcess(settings_for(broker, app_id, tmp_path / str(number), **cluster))
            for number in range(2)
        ]
        await import_shop(workers[0].settings)
        with workers[0], workers[1]:
            async with Client(workers[0].url, TENANT) as one, Client(workers[1].url, TENANT) as two:
                await one.ready()
                producing = asyncio.create_task(produce_events(broker, app_id, _events(0, EVENTS), TENANT))
                for round_number in range(6):
                    await asyncio.sleep(chance.uniform(1.0, 4.0))
                    victim = workers[chance.randrange(2)]
                    victim.kill()
                    if round_number == 1:
                        await asyncio.to_thread(kafka.kill, 2)
                    await asyncio.sleep(chance.uniform(0.0, 3.0))
                    victim.start()
                    if round_number == 4:
                        await asyncio.to_thread(kafka.start_node, 2)
                await producing
                await one.ready(120)
                await two.ready(120)
                await _assert_exact([one, two], EVENTS)
