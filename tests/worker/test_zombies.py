"""A worker that was frozen and comes back: it answers nothing, and nothing it writes lands."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka.errors import ProducerFenced

from config.topics import DECISIONS, topic_names
from tables.fencing import PartitionProducer
from tables.layout import FENCE_KEY, customer_key
from tables.routing import partition_of
from tests.kafka import clients
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, produce_events, running, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]

PUSH = {"customerId": "C1", "channelId": "push", "limit": 1}
PURCHASE = {"type": "purchase", "data": {"amount": 2.0}}


@asynccontextmanager
async def _worker(broker: Broker, app_id: str, folder: Path) -> AsyncIterator[tuple[WorkerProcess, Client]]:
    worker = WorkerProcess(settings_for(broker, app_id, folder))
    with worker:
        async with Client(worker.url, TENANT) as client:
            yield worker, client


async def _delivered(client: Client) -> int:
    """Offers delivered by one recommend; an error or no answer is none."""
    try:
        status, body = await client.post("/api/v1/recommend", PUSH)
    except (aiohttp.ClientError, TimeoutError):
        return 0
    return len(body["decisions"]) if status == 200 else 0


async def _answers(client: Client) -> bool:
    try:
        status, _ = await client.get("/api/v1/customers/C1")
    except aiohttp.ClientError:
        return False
    return status == 200


async def test_a_frozen_worker_that_thaws_delivers_nothing_beyond_the_cap(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    await import_shop(settings_for(broker, app_id, tmp_path))
    await produce_events(broker, app_id, [("C1", PURCHASE)], TENANT)
    async with _worker(broker, app_id, tmp_path / "a") as (frozen, old):
        await old.ready()
        assert await _delivered(old) == 1
        async with _worker(broker, app_id, tmp_path / "b") as (_, new):
            frozen.signal(signal.SIGSTOP)
            # These wait in the frozen worker's socket, and are the first thing it sees when it thaws.
            queued = [asyncio.create_task(old.post("/api/v1/recommend", PUSH)) for _ in range(5)]
            await eventually(lambda: _answers(new), 60, "the other worker owns the customer")
            assert [await _delivered(new) for _ in range(3)] == [1, 1, 0]
            frozen.signal(signal.SIGCONT)
            answers = await asyncio.gather(*queued)
            assert [(status, body["code"]) for status, body in answers] == [(503, "NOT_READY")] * 5
            later = await asyncio.gather(*(_delivered(old) for _ in range(20)))
            assert sum(later) == 0


async def test_the_owner_before_cannot_write_behind_the_fence(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    number = partition_of(customer_key(TENANT, "C1"), settings.partitions)
    before = PartitionProducer([broker.bootstrap], f"{app_id}-{number}", 5_000)
    await before.start()
    decisions = topic_names(app_id)[DECISIONS]
    changelog = f"{app_id}-customers-changelog"
    try:
        for topic in (decisions, changelog):
            await before.kafka.send_and_wait(topic, b"{}", FENCE_KEY, partition=number)
        async with running(settings) as app:
            for topic in (decisions, changelog):
                with pytest.raises(ProducerFenced):
                    await before.kafka.send_and_wait(topic, b"{}", b"Blate", partition=number)
            await produce_events(broker, app_id, [("C1", PURCHASE)], TENANT)
            partition = app.partitions.get(number)
            assert partition is not None

            async def folded() -> bool:
                return not partition.dirty and partition.control.epoch == before.epoch + 1

            await eventually(folded, 20, "a batch of the next epoch")
            assert app.metrics.batch_failures_total.labels("LandedElsewhereError")._value.get() == 0
    finally:
        await before.stop()


async def test_fence_records_are_no_decisions_and_no_dead_letters(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    for _ in range(2):
        async with running(settings) as app:
            await produce_events(broker, app_id, [("C1", PURCHASE)], TENANT)
            assert all(len(partition.outbox) == 0 for partition in app.partitions)
    fences = await clients.consume_pairs(broker.bootstrap, topic_names(app_id)[DECISIONS], 2)
    epochs = [json.loads(value)["fence"] for key, value in fences if key == FENCE_KEY]
    assert epochs == [0, 1]


async def test_a_worker_cut_from_its_group_stops_answering_before_another_may_own(
    app_id: str, tmp_path: Path
) -> None:
    with KafkaCluster(nodes=1) as cluster:
        broker = Broker(cluster.bootstrap, "kafka")
        await import_shop(settings_for(broker, app_id, tmp_path))
        await produce_events(broker, app_id, [("C1", PURCHASE)], TENANT)
        async with _worker(broker, app_id, tmp_path / "a") as (worker, client):
            await client.ready()
            await asyncio.to_thread(cluster.kill, 1)
            lease_s = worker.settings.session_timeout_ms / 1000
            await asyncio.sleep(lease_s)
            answer: Any = await client.get("/api/v1/customers/C1")
            assert (answer[0], answer[1]["code"]) == (503, "NOT_READY")
            await asyncio.to_thread(cluster.start_node, 1)
            await client.ready()
            assert (await client.get("/api/v1/customers/C1"))[0] == 200
