"""A write whose acknowledgement is lost is sent again, and is on Kafka once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from config.topics import EVENTS
from tables.fencing import PartitionProducer
from tables.publisher import Derived, Publisher
from tests.kafka import clients
from tests.kafka.cluster import KafkaCluster
from tests.stress.cuts import Gate
from tests.worker.harness import eventually

pytestmark = [pytest.mark.kafka]

DOOR = "GATED"
TIMEOUT_MS = 10_000


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaCluster]:
    with KafkaCluster(doors=[DOOR]) as cluster:
        yield cluster


@pytest.fixture
async def gate(kafka: KafkaCluster) -> AsyncIterator[Gate]:
    """The way to Kafka."""
    door = kafka.door(1, DOOR)
    opened = Gate(door.advertised_port, door.port)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def topic(kafka: KafkaCluster, unique: Callable[[str], str]) -> str:
    name = unique("retried")
    await clients.create_topic(kafka.bootstrap, name)
    return name


@asynccontextmanager
async def _publisher(kafka: KafkaCluster, topic: str) -> AsyncIterator[Publisher]:
    bootstrap = [kafka.door(1, DOOR).address]
    publisher = Publisher(bootstrap, "test", {EVENTS: topic}, 1, TIMEOUT_MS, idempotent=True)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def _lose_the_answer(kafka: KafkaCluster, gate: Gate, topic: str, written: int) -> None:
    """Let what is sent reach Kafka, and no answer back; then reset the connections."""
    await gate.sever("mute")

    async def on_kafka() -> bool:
        return len(await clients.consume_all(kafka.bootstrap, topic)) >= written

    try:
        await eventually(on_kafka, 8, "what was sent is on Kafka")
    finally:
        await gate.heal()


async def test_a_published_record_is_there_once(kafka: KafkaCluster, gate: Gate, topic: str) -> None:
    async with _publisher(kafka, topic) as publisher:
        assert await publisher.publish(EVENTS, b"k", b"first") == 0
        losing = asyncio.create_task(_lose_the_answer(kafka, gate, topic, 2))
        await asyncio.sleep(0)
        assert await publisher.publish(EVENTS, b"k", b"second") == 1
        await losing
        assert await publisher.publish(EVENTS, b"k", b"third") == 2
    assert await clients.consume_all(kafka.bootstrap, topic) == [b"first", b"second", b"third"]


async def test_a_batch_of_derived_records_is_there_once(kafka: KafkaCluster, gate: Gate, topic: str) -> None:
    async with _publisher(kafka, topic) as publisher:
        derived = [Derived(EVENTS, 0, b"k", b"%d" % number) for number in range(3)]
        await publisher.publish_in_order(derived[:1])
        losing = asyncio.create_task(_lose_the_answer(kafka, gate, topic, 3))
        await asyncio.sleep(0)
        await publisher.publish_in_order(derived[1:])
        await losing
    assert await clients.consume_all(kafka.bootstrap, topic) == [b"0", b"1", b"2"]


async def test_a_partitions_own_record_is_there_once(kafka: KafkaCluster, gate: Gate, topic: str) -> None:
    producer = PartitionProducer([kafka.door(1, DOOR).address], topic, TIMEOUT_MS)
    await producer.start()
    try:
        await producer.fence(topic, 0)
        losing = asyncio.create_task(_lose_the_answer(kafka, gate, topic, 2))
        await asyncio.sleep(0)
        written = await producer.kafka.send_and_wait(topic, b"decision", b"k", partition=0)
        await losing
        assert written.offset == 1
    finally:
        await producer.stop()
    assert (await clients.consume_all(kafka.bootstrap, topic))[1:] == [b"decision"]
