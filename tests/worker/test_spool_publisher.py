"""From the spool to Kafka: in order, once it is there, and again only what nobody noted."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from config.metrics import Metrics, new_metrics
from config.topics import EVENTS
from tables.clients import lone_consumer
from tables.publisher import Publisher
from tables.spool import WINDOW, Spool
from tables.spool_mark import Mark, Position
from tables.spool_publisher import SpoolPublisher
from tables.spool_records import Spooled
from tests.kafka import clients
from tests.kafka.cluster import KafkaCluster
from tests.stress.cuts import Gate
from tests.worker.harness import eventually

pytestmark = [pytest.mark.kafka]

DOOR = "GATED"
RECEIVED_MS = round(time.time() * 1000) - 600_000


def events(*numbers: int) -> list[Spooled]:
    return [Spooled(EVENTS, b"shop:C1", b"%d" % number, RECEIVED_MS) for number in numbers]


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
    name = unique("spooled")
    await clients.create_topic(kafka.bootstrap, name)
    return name


@asynccontextmanager
async def life(
    kafka: KafkaCluster, topic: str, folder: Path, metrics: Metrics | None = None
) -> AsyncIterator[tuple[Spool, Publisher]]:
    """A worker's spool and its publisher, from a start to a stop."""
    metrics = metrics or new_metrics()
    publisher = Publisher([kafka.door(1, DOOR).address], "test", {EVENTS: topic}, 1, 2_000, idempotent=True)
    spool = Spool(folder, 1 << 20, lambda: 0, metrics)
    publishing = SpoolPublisher(spool, publisher, 1, metrics)
    await publisher.start()
    await spool.open()
    publishing.start()
    try:
        yield spool, publisher
    finally:
        await publishing.stop()
        await spool.close()
        await publisher.stop()


async def _empty(spool: Spool) -> None:
    async def empty() -> bool:
        return not spool.behind(b"shop:C1")

    await eventually(empty, 40, "the spool is empty")


async def _on_kafka(kafka: KafkaCluster, topic: str) -> list[int]:
    return [int(value) for value in await clients.consume_all(kafka.bootstrap, topic)]


async def test_more_than_a_window_in_order_and_once(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path
) -> None:
    count = 3 * WINDOW + 5
    metrics = new_metrics()
    async with life(kafka, topic, tmp_path, metrics) as (spool, publisher):
        await spool.append(events(*range(count)))
        await _empty(spool)
        # What goes past the spool now is behind all of it.
        await publisher.publish(EVENTS, b"shop:C1", b"%d" % count)
    assert await _on_kafka(kafka, topic) == list(range(count + 1))
    assert metrics.spool_published_total._value.get() == count


async def test_its_time_on_kafka_is_when_it_was_received(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path
) -> None:
    """Else it could look newer than an erasure that was asked for in between."""
    given = [Spooled(EVENTS, b"shop:C1", b"1", RECEIVED_MS + delay_ms) for delay_ms in (5, 0, 60_000)]
    async with life(kafka, topic, tmp_path) as (spool, _):
        await spool.append(given)
        await _empty(spool)
    async with lone_consumer([kafka.bootstrap], 100) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        times: list[int] = []
        async with asyncio.timeout(20):
            while len(times) < len(given):
                times.append((await consumer.getone()).timestamp)
    assert times == [record.at_ms for record in given]


async def test_while_kafka_is_cut_off_nothing_is_sent_twice(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path
) -> None:
    metrics = new_metrics()
    async with life(kafka, topic, tmp_path, metrics) as (spool, _):
        await spool.append(events(0))
        await _empty(spool)
        await gate.sever("mute")
        await spool.append(events(1, 2))

        async def noticed() -> bool:
            return spool.stalled and metrics.spool_publish_failures_total._value.get() >= 2

        await eventually(noticed, 30, "that Kafka is away is noticed")
        await spool.append(events(3))
        assert spool.behind(b"shop:anybody")
        await gate.heal()
        await _empty(spool)
        assert not spool.stalled
    assert await _on_kafka(kafka, topic) == [0, 1, 2, 3]


async def test_what_was_published_and_not_noted_is_published_again_and_no_more(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between publish and mark: the fold drops the copies by their ids while they are few."""
    count = 3 * WINDOW
    write, notes = Mark.write, 0

    def dies(mark: Mark, position: Position) -> None:
        nonlocal notes
        notes += 1
        if notes > 1:
            raise OSError(errno.EIO, "the process is gone")
        write(mark, position)

    monkeypatch.setattr(Mark, "write", dies)
    async with life(kafka, topic, tmp_path) as (spool, _):
        await spool.append(events(*range(count)))

        async def published() -> bool:
            return notes > 1

        await eventually(published, 20, "a window that cannot be noted")
    monkeypatch.undo()
    async with life(kafka, topic, tmp_path) as (spool, _):
        await _empty(spool)
    landed = await _on_kafka(kafka, topic)
    assert list(dict.fromkeys(landed)) == list(range(count)), "in order, none is lost"
    again = {number for number, times in Counter(landed).items() if times > 1}
    assert again == set(range(WINDOW, 2 * WINDOW)), "the window that was not noted"
    # A copy comes before so many other ids that the fold still remembers its first.
    first = {number: landed.index(number) for number in again}
    last = {number: len(landed) - 1 - landed[::-1].index(number) for number in again}
    assert all(len(set(landed[first[n] : last[n]])) <= WINDOW for n in again)


async def test_a_stop_leaves_the_rest_for_the_next_life(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path
) -> None:
    async with life(kafka, topic, tmp_path) as (spool, _):
        await gate.sever("mute")
        await spool.append(events(1, 2))
        await spool.append(events(3))
        healing = asyncio.create_task(_heal_later(gate))
    await healing
    async with life(kafka, topic, tmp_path) as (spool, _):
        await _empty(spool)
    landed = await _on_kafka(kafka, topic)
    assert list(dict.fromkeys(landed)) == [1, 2, 3]


async def _heal_later(gate: Gate) -> None:
    """The producer waits for Kafka as it stops."""
    await asyncio.sleep(0.5)
    await gate.heal()


async def test_a_record_that_kafka_refuses_holds_until_it_does_not(
    kafka: KafkaCluster, gate: Gate, topic: str, tmp_path: Path
) -> None:
    """A refused batch leaves a gap in the client's sequence: it goes on with another producer."""
    big = Spooled(EVENTS, b"shop:C1", b"1" + b" " * 3_000, RECEIVED_MS)
    async with clients.admin(kafka.bootstrap) as admin:
        await _limit(admin, topic, 2_000)
        metrics = new_metrics()
        async with life(kafka, topic, tmp_path, metrics) as (spool, _):
            await spool.append(events(0))
            await _empty(spool)
            await spool.append([big])

            async def refused() -> bool:
                return bool(metrics.spool_publish_failures_total._value.get() >= 2)

            await eventually(refused, 30, "Kafka refuses it")
            await _limit(admin, topic, 100_000)
            await spool.append(events(2))
            await _empty(spool)
    assert await _on_kafka(kafka, topic) == [0, 1, 2]


async def _limit(admin: AIOKafkaAdminClient, topic: str, size: int) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": str(size)})
    await admin.alter_configs([resource])
