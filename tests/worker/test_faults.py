"""What breaks one partition stops that partition, drops its memory, and recovers it from the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from app.worker import OffertideApp
from config.topics import changelog_topic
from tables.layout import customer_key
from tables.partition import Partition, Phase
from tables.routing import partition_of
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import eventually, produce_events, running, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]

PURCHASE = {"type": "purchase", "data": {"amount": 2.0}}


def _owner(app: OffertideApp, customer: str) -> Partition:
    number = partition_of(customer_key(TENANT, customer), app.settings.partitions)
    partition = app.partitions.get(number)
    assert partition is not None
    return partition


def _purchases(app: OffertideApp, customer: str) -> float:
    partition = _owner(app, customer)
    if partition.store is None:
        return -1.0
    found = partition.customer(customer_key(TENANT, customer))
    window = None if found is None else found.metrics.get("purchases")
    return 0.0 if window is None else sum(window.buckets.values())


async def _counts(app: OffertideApp, customer: str, purchases: int) -> None:
    async def counted() -> bool:
        return _purchases(app, customer) == purchases and _owner(app, customer).ready

    await eventually(counted, 60, f"{customer} at {purchases}, is {_purchases(app, customer)}")


async def _written(app: OffertideApp, customer: str) -> bool:
    partition = _owner(app, customer)
    return not partition.dirty and list(partition.control.positions) == partition.positions


def _events(customer: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((customer, PURCHASE) for _ in range(count))


async def test_a_foreign_write_in_the_changelog_rebuilds_the_store(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app:
        await produce_events(broker, app_id, _events("C1", 10), TENANT)
        await _counts(app, "C1", 10)
        number = _owner(app, "C1").number
        others = {p.number: p for p in app.partitions if p.number != number}
        async with _plain_producer(broker) as producer:
            await producer.send_and_wait(changelog_topic(app_id), b"x", b"Bstray", partition=number)
        await produce_events(broker, app_id, _events("C1", 5), TENANT)
        await _counts(app, "C1", 15)
        rebuilt = app.metrics.batch_failures_total.labels("LandedElsewhereError")._value.get()
        assert rebuilt == 1.0
        assert all(partition.ready for partition in others.values()), "others never stopped"


async def test_kafka_away_and_back(app_id: str, tmp_path: Path) -> None:
    with KafkaCluster(nodes=1) as cluster:
        broker = Broker(cluster.bootstrap, "kafka")
        settings = settings_for(broker, app_id, tmp_path, publish_timeout_ms=2_000)
        await import_shop(settings)
        async with running(settings) as app:
            await produce_events(broker, app_id, _events("C1", 10), TENANT)
            await _counts(app, "C1", 10)
            await asyncio.to_thread(cluster.kill, 1)
            await asyncio.sleep(4)
            await asyncio.to_thread(cluster.start_node, 1)
            await produce_events(broker, app_id, _events("C1", 7), TENANT)
            await _counts(app, "C1", 17)


async def test_a_store_ahead_of_its_changelog_is_rebuilt(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app:
        await produce_events(broker, app_id, _events("C1", 10), TENANT)
        await _counts(app, "C1", 10)
        await eventually(lambda: _written(app, "C1"), 10, "the batch in the store")
        store = _owner(app, "C1").store
        assert store is not None
        store.apply([(b"Bstray", b"\x01")], store.offset + 1, store.offset + 1_000)
    async with running(settings) as app:
        await _counts(app, "C1", 10)
        store = _owner(app, "C1").store
        assert store is not None
        assert store.get(b"Bstray") is None


async def test_a_write_that_fails_while_stopping_lets_go_of_the_store(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app:
        store = _owner(app, "C1").store
        assert store is not None
        store.apply([(b"Bstray", b"\x01")], store.offset + 1, store.offset + 1_000)
        _owner(app, "C1").open(customer_key(TENANT, "C1"))
    async with running(settings) as app:
        await produce_events(broker, app_id, _events("C1", 3), TENANT)
        await _counts(app, "C1", 3)


async def test_losing_the_partitions_fails_who_waits_and_answers_nothing(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app:
        partition = _owner(app, "C1")
        waiting = partition.waiters.expect("r1")
        app.host.lose()
        assert partition.phase is Phase.STOPPED
        assert waiting.done()
        assert waiting.exception() is not None


@asynccontextmanager
async def _plain_producer(broker: Broker) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
