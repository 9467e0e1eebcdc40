"""Clients of which a task has ended: whoever uses them hears of it, and goes on with others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from app.embedded import EmbeddedBroker
from config.metrics import new_metrics
from config.topics import EVENTS
from tables.client_tasks import ClientEndedError
from tables.clients import lone_consumer
from tables.fencing import PartitionProducer, cut_off
from tables.publisher import Publisher, PublishError
from tables.spool import Spool
from tables.spool_publisher import SpoolPublisher
from tables.spool_records import Spooled
from tests.kafka import clients
from tests.kafka.ending import Ending, ending_clients
from tests.tables.test_clients import nothing_left_open
from tests.worker.harness import eventually

pytestmark = [pytest.mark.embedded]

TIMEOUT_MS = 3_000


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ending:
    return ending_clients(monkeypatch, tmp_path)


@pytest.fixture
def bootstrap(embedded_broker: EmbeddedBroker) -> str:
    return embedded_broker.bootstrap


@pytest.fixture
async def topic(bootstrap: str, unique: Callable[[str], str]) -> str:
    name = unique("ending")
    await clients.create_topic(bootstrap, name)
    return name


def publisher_of(bootstrap: str, topic: str) -> Publisher:
    return Publisher([bootstrap], "publisher", {EVENTS: topic}, 1, TIMEOUT_MS, idempotent=False)


@pytest.mark.parametrize("kind", ["Fetch", "Metadata"])
async def test_a_reader_hears_that_its_consumer_has_ended(
    ending: Ending, bootstrap: str, topic: str, kind: str
) -> None:
    async def read() -> None:
        place = TopicPartition(topic, 0)
        async with lone_consumer([bootstrap], 50, client_id="reader") as consumer:
            consumer.assign([place])
            consumer.seek(place, 0)
            ending.of(kind, "reader")
            if kind == "Metadata":
                consumer._client.force_metadata_update()
            for _ in range(100):
                await consumer.getmany(place, timeout_ms=50)

    async with nothing_left_open():
        with pytest.raises(ClientEndedError):
            await read()
        assert ending.happened


async def test_stopping_an_ended_consumer_does_not_cancel_its_reader(
    bootstrap: str,
) -> None:
    """aiokafka lets a cancellation of its own out of `stop` while no broker answers."""
    async with lone_consumer([bootstrap], 50) as consumer:
        pause = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        consumer._fetcher._pending_tasks.add(pause)
    assert pause.cancelled()


@pytest.mark.parametrize("kind", ["Produce", "Metadata"])
async def test_a_publisher_goes_on_with_another_producer(
    ending: Ending, bootstrap: str, topic: str, kind: str
) -> None:
    publisher = publisher_of(bootstrap, topic)
    await publisher.start()
    try:
        producer = publisher._producer
        assert producer is not None
        ending.of(kind, "publisher")
        if kind == "Metadata":
            producer.client.force_metadata_update()
        else:
            with pytest.raises(PublishError):
                await publisher.publish(EVENTS, b"k", b"in doubt")
        await ending.done()
        sent = (publisher.publish(EVENTS, b"k", b"%d" % n) for n in range(5))
        offsets = await asyncio.gather(*sent)
        assert offsets == sorted(offsets), "in the order of the calls"
        assert publisher._producer is not producer
        assert not publisher.ended
    finally:
        await publisher.stop()


@pytest.mark.parametrize("kind", ["Produce", "Metadata"])
async def test_the_spool_is_emptied_by_another_producer(
    ending: Ending, bootstrap: str, unique: Callable[[str], str], tmp_path: Path, kind: str
) -> None:
    topic = unique("ending")
    metrics, publisher = new_metrics(), publisher_of(bootstrap, topic)
    spool = Spool(tmp_path / "spool", 1 << 20, lambda: 0, metrics)
    publishing = SpoolPublisher(spool, publisher, 1, metrics)
    await publisher.start()
    # Only now: the producer has to ask for the topic.
    await clients.create_topic(bootstrap, topic)
    await spool.open()
    publishing.start()
    try:
        # With "Metadata" the producer waits for ever to be told where the topic is.
        ending.of(kind, "publisher")
        await spool.append([Spooled(EVENTS, b"shop:C1", b"%d" % n, 0) for n in range(3)])

        async def empty() -> bool:
            return not spool.behind(b"shop:C1")

        await eventually(empty, 30, "the spool is empty")
        assert ending.happened
        # The embedded broker's end is the start of its last batch.
        await publisher.publish(EVENTS, b"shop:C1", b"last")
        landed = await clients.consume_all(bootstrap, topic)
        assert list(dict.fromkeys(landed)) == [b"0", b"1", b"2", b"last"]
    finally:
        await publishing.stop()
        await spool.close()
        await publisher.stop()


async def test_a_partitions_producer_that_has_ended_is_cut_off(
    ending: Ending, bootstrap: str, topic: str
) -> None:
    """The partition is taken anew then, with another producer."""
    publisher, producer = publisher_of(bootstrap, topic), PartitionProducer([bootstrap], None, TIMEOUT_MS)
    await publisher.start()
    await producer.start()
    try:
        kafka = producer.kafka
        ending.of("Produce", "aiokafka-producer")
        with pytest.raises(PublishError):
            await publisher.publish(EVENTS, b"k", b"in doubt", producer=kafka)
        with pytest.raises(PublishError) as raised:
            _ = producer.kafka
        assert raised.value.certain
        assert cut_off(raised.value)
        with pytest.raises(PublishError) as raised:
            await publisher.publish(EVENTS, b"k", b"not sent", producer=kafka)
        assert raised.value.certain
    finally:
        await producer.stop()
        await publisher.stop()
