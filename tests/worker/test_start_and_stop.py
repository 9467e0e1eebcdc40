"""Starting: not ready before the backlog is folded, a sentence when it cannot. Stopping: cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.worker import STOP_S, OffertideApp, create_app
from config.settings import Settings
from config.topics import changelog_topic
from tables.layout import customer_key
from tables.routing import partition_of
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, produce_events, settings_for
from tests.worker.shop import TENANT, import_shop

BACKLOG = 40_000
PARTITIONS = 8


@asynccontextmanager
async def _starting(settings: Settings) -> AsyncIterator[OffertideApp]:
    app = create_app(settings)
    await app.start_all()
    try:
        yield app
    finally:
        await app.stop_all()


@pytest.mark.kafka
@pytest.mark.parametrize("wipe", [False, True])
async def test_a_partition_is_ready_only_when_its_backlog_is_in_the_state(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path, wipe: bool
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path, batch_max_records=100, partitions=PARTITIONS)
    await import_shop(settings)
    purchase = {"type": "purchase", "data": {"amount": 1.0}}
    if wipe:
        await produce_events(broker, app_id, [("C0", purchase)], TENANT)
        async with _starting(settings) as app:
            await eventually(lambda: _all_ready(app), 30, "all partitions ready")
        settings = msgspec.structs.replace(settings, data_dir=tmp_path / "another")
    events = [(f"C{number % 50}", purchase) for number in range(BACKLOG)]
    await produce_events(broker, app_id, events, TENANT)
    early = 0
    async with _starting(settings) as app:
        seen: set[int] = set()
        while len(seen) < settings.partitions:
            for partition in app.partitions:
                if partition.ready and partition.number not in seen:
                    seen.add(partition.number)
                    early += _missing(partition, 1 if wipe else 0)
            await asyncio.sleep(0)
    assert early == 0, "a partition answered before it had folded what was there when it started"


async def _all_ready(app: OffertideApp) -> bool:
    return sum(partition.ready for partition in app.partitions) == app.settings.partitions


def _missing(partition: Any, first: int) -> int:
    """Purchases of this partition's customers that are not in its state."""
    missing = 0
    for number in range(50):
        key = customer_key(TENANT, f"C{number}")
        if partition_of(key, PARTITIONS) != partition.number:
            continue
        customer = partition.customer(key)
        folded = 0 if customer is None else round(customer.metrics["purchases"].buckets[0])
        missing += BACKLOG // 50 + (first if number == 0 else 0) - folded
    return missing


async def test_without_a_broker_it_retries_says_so_and_ends(tmp_path: Path) -> None:
    nowhere = Broker("127.0.0.1:9", "kafka")
    worker = WorkerProcess(settings_for(nowhere, "offertide", tmp_path, broker_start_timeout_ms=3_000))
    worker.start()
    assert await asyncio.to_thread(worker.wait, 30) == 1
    said = worker.tail()
    assert "127.0.0.1:9" in said
    assert "Traceback" not in said


async def test_a_taken_port_is_said_in_a_sentence(broker: Broker, app_id: str, tmp_path: Path) -> None:
    first = WorkerProcess(settings_for(broker, app_id, tmp_path / "1"))
    with first:
        async with Client(first.url) as client:
            await import_shop(first.settings)
            await client.ready()
        second = msgspec.structs.replace(first.settings, data_dir=tmp_path / "2", app_id=f"{app_id}-b")
        worker = WorkerProcess(second)
        worker.start()
        assert await asyncio.to_thread(worker.wait, 30) == 1
        taken = f"the worker cannot start: 127.0.0.1:{second.web_port} (OFFERTIDE_WEB_PORT) is taken"
        assert taken in worker.tail()
        assert "Traceback" not in worker.tail()


async def test_a_folder_that_another_worker_has_is_said_in_a_sentence(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    first = WorkerProcess(settings_for(broker, app_id, tmp_path))
    with first:
        async with Client(first.url) as client:
            await import_shop(first.settings)
            await client.ready()
        second = WorkerProcess(settings_for(broker, app_id, tmp_path))
        second.start()
        assert await asyncio.to_thread(second.wait, 30) == 1
        said = second.log.read_text()
        assert f"another worker has the folder {tmp_path}" in said
        assert "OFFERTIDE_DATA_DIR" in said
        assert "Traceback" not in said
        assert first.stop() == 0, first.tail()


@pytest.mark.kafka
async def test_after_a_clean_stop_nothing_is_written_or_read_again(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    worker = WorkerProcess(settings)
    with worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            event = {"type": "purchase", "customerId": "C1", "data": {"amount": 1.0}}
            status, body = await client.post("/api/v1/events/ingest", event)
            assert status == 200, body
            assert worker.stop() == 0, worker.tail()
            before = await _changelog_ends(settings)
            worker.start()
            await client.ready()
            status, state = await client.get("/api/v1/customers/C1")
            assert (status, state["metrics"]["purchases"]) == (200, 1)
            _, page = await client.get("/metrics")
            assert "offertide_records_skipped_total{" not in page
            assert worker.stop() == 0, worker.tail()
    after = await _changelog_ends(settings)
    # The new taking's fence, and a control record that has passed the fence on the decisions.
    assert {number: end - before[number] for number, end in after.items()} == dict.fromkeys(before, 2)


@pytest.mark.kafka
async def test_a_stop_while_kafka_is_away_takes_bounded_time(app_id: str, tmp_path: Path) -> None:
    with KafkaCluster(nodes=1) as cluster:
        settings = settings_for(Broker(cluster.bootstrap, "kafka"), app_id, tmp_path)
        await import_shop(settings)
        worker = WorkerProcess(settings)
        with worker:
            async with Client(worker.url, TENANT) as client:
                await client.ready()
            await asyncio.to_thread(cluster.kill, 1)
            await asyncio.sleep(1)
            assert await asyncio.to_thread(worker.stop, STOP_S) == 0, worker.tail()


@pytest.mark.kafka
async def test_a_second_signal_ends_a_stop_that_takes_long(app_id: str, tmp_path: Path) -> None:
    with KafkaCluster(nodes=1) as cluster:
        settings = settings_for(Broker(cluster.bootstrap, "kafka"), app_id, tmp_path)
        await import_shop(settings)
        worker = WorkerProcess(settings)
        with worker:
            async with Client(worker.url, TENANT) as client:
                await client.ready()
            os.kill(cluster.pid(1), signal.SIGSTOP)  # it answers nothing, and refuses nothing either
            try:
                worker.signal(signal.SIGTERM)
                await asyncio.sleep(1)
                assert worker.running, "the first one stops it cleanly, which takes Kafka"
                assert await asyncio.to_thread(worker.stop, 3) == -signal.SIGTERM
            finally:
                os.kill(cluster.pid(1), signal.SIGCONT)


async def _changelog_ends(settings: Settings) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker)
    await consumer.start()
    try:
        tps = [TopicPartition(changelog_topic(settings.app_id), n) for n in range(settings.partitions)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()
