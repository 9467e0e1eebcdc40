"""What only Apache Kafka can do: transactions, fencing, compaction, coming back after a kill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import ProducerFenced

from app.decision.entities import Offer
from config.settings import Settings
from config.topics import CATALOG, topic_names
from tables.catalogue_commit import CatalogueConflictError, CatalogueWriteError, begin_commit
from tables.catalogue_document import read_document
from tables.catalogue_records import encode_entity, entity_key, marker_key
from tables.catalogue_topic import CatalogueReadError, open_feed, read_to_now
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import (
    at_version,
    observing,
    reading,
    ready,
    settings_for,
    shop,
    with_topic,
)
from tests.kafka.broker import Broker
from tests.kafka.clients import admin
from tests.kafka.cluster import KafkaCluster

pytestmark = pytest.mark.kafka


def transactional(settings: Settings) -> AIOKafkaProducer:
    """A producer in the place of a catalogue's writer."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.broker,
        acks="all",
        transactional_id=f"{settings.app_id}-catalog",
        transaction_timeout_ms=15_000,
    )


async def send_offers(settings: Settings, producer: AIOKafkaProducer, name: str) -> None:
    """The records of an import, without its marker."""
    topic = topic_names(settings.app_id)[CATALOG]
    for entry in shop(20, name):
        key = entity_key("demo", (entry.kind, entry.entity.id))
        await producer.send_and_wait(topic, encode_entity("aborted", entry.entity), key, partition=0)


async def test_an_aborted_import_is_never_seen(kafka_settings: Settings) -> None:
    settings = kafka_settings
    writer = CatalogueWriter(settings)
    async with reading(settings) as reader:
        await ready(reader)
        async with observing(reader) as seen:
            first = await writer.import_tenant("demo", shop(10, "Before"), "test")
            producer = transactional(settings)
            await producer.start()
            await producer.begin_transaction()
            await send_offers(settings, producer, "Aborted")
            topic = topic_names(settings.app_id)[CATALOG]
            await producer.send_and_wait(topic, b"{}", marker_key("demo"), partition=0)
            await producer.abort_transaction()
            await producer.stop()
            second = await writer.import_tenant("demo", shop(11, "After"), "test")
            await at_version(reader, second.version)
    assert [snapshot.version for snapshot in seen] == [0, first.version, second.version]
    assert names_of(seen[-1].tenant("demo").all("offers", Offer)) == {"After"}
    async with reading(settings) as late:
        await ready(late)
        assert late.snapshot.version == second.version
        assert late.snapshot.tenant("demo").entities == seen[-1].tenant("demo").entities
        assert late.problem is None


async def test_a_writer_that_dies_in_a_transaction_does_not_stop_the_next(kafka_settings: Settings) -> None:
    settings = kafka_settings
    dead = transactional(settings)
    await dead.start()
    await dead.begin_transaction()
    await send_offers(settings, dead, "Dead")
    diff = await CatalogueWriter(settings).import_tenant("demo", shop(2), "test")
    await dead.stop()
    assert len(diff.created) == 3
    assert len((await read_to_now(settings)).tenant("demo").entities) == 3


async def test_a_zombie_writer_is_fenced(kafka_settings: Settings) -> None:
    settings = kafka_settings
    async with begin_commit(settings) as zombie:
        diff = await CatalogueWriter(settings).import_tenant("demo", shop(2, "New"), "test")
        records = [
            (entity_key("demo", (entry.kind, entry.entity.id)), encode_entity("zombie", entry.entity))
            for entry in shop(2, "Zombie")
        ]
        with pytest.raises(CatalogueConflictError):
            await zombie.write(records)
    log = await read_to_now(settings)
    assert log.version == diff.version
    assert log.tenant("demo").waiting == {}


async def test_a_zombie_that_learns_it_between_two_batches_is_fenced(
    kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client refuses the second batch by itself once the first was fenced."""
    send = AIOKafkaProducer.send_batch

    async def one_by_one(self: AIOKafkaProducer, *args: Any, **options: Any) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await send(self, *args, **options)
        await asyncio.wait([sent])
        return sent

    async with begin_commit(kafka_settings) as zombie:
        await CatalogueWriter(kafka_settings).import_tenant("demo", shop(2), "test")
        monkeypatch.setattr(AIOKafkaProducer, "send_batch", one_by_one)
        with pytest.raises(CatalogueConflictError) as refused:
            await zombie.write([(b"demo:x", b"{}")], [(b"demo", b"{}")])
    assert refused.value.certain


async def test_a_zombie_in_the_middle_of_its_transaction_is_fenced(kafka_settings: Settings) -> None:
    settings = kafka_settings
    zombie = transactional(settings)
    await zombie.start()
    await zombie.begin_transaction()
    await send_offers(settings, zombie, "Zombie")
    diff = await CatalogueWriter(settings).import_tenant("demo", shop(2, "New"), "test")
    with pytest.raises(ProducerFenced):
        await zombie.commit_transaction()
    await zombie.stop()
    log = await read_to_now(settings)
    assert (log.version, len(log.tenant("demo").entities)) == (diff.version, 3)


async def test_of_many_imports_at_once_each_is_whole_or_refused(kafka_settings: Settings) -> None:
    settings = kafka_settings
    results = await asyncio.gather(
        *(CatalogueWriter(settings).import_tenant("demo", shop(30, f"W{n}"), f"w{n}") for n in range(4)),
        return_exceptions=True,
    )
    kinds = {type(result).__name__ for result in results}
    assert kinds <= {"ImportDiff", "CatalogueConflictError", "CatalogueWriteError"}
    assert "ImportDiff" in kinds
    log = await read_to_now(settings)
    offers = [entity for entity in log.tenant("demo").entities.values() if isinstance(entity, Offer)]
    assert len(offers) == 30
    assert len(names_of(offers)) == 1


async def test_an_open_transaction_holds_a_reader_back_and_says_so(kafka_settings: Settings) -> None:
    settings = kafka_settings
    producer = transactional(settings)
    await producer.start()
    await producer.begin_transaction()
    await send_offers(settings, producer, "Open")
    with pytest.raises(CatalogueReadError, match="within 1 s"):
        await read_to_now(settings, timeout_s=1.0)
    await producer.abort_transaction()
    await producer.stop()
    assert (await read_to_now(settings)).tenants == {}


async def test_an_import_of_many_batches_is_still_one(kafka_settings: Settings) -> None:
    settings = kafka_settings
    text = "x" * 900_000
    document = {"id": "music", "name": "Music"}
    offers = [
        {"id": f"o{n}", "name": "Large", "categoryId": "music", "tags": ["a"], "fields": {"text": text}}
        for n in range(12)
    ]
    body = {
        "categories": [document | {"customFields": [{"key": "text", "type": "string"}]}],
        "offers": offers,
    }
    async with reading(settings) as reader:
        await ready(reader)
        async with observing(reader) as seen:
            entries = read_document(json.dumps(body).encode()).entries
            diff = await CatalogueWriter(settings).import_tenant("demo", entries, "test")
            await at_version(reader, diff.version)
    assert [len(snapshot.tenant("demo").entities) for snapshot in seen] == [0, 13]


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[KafkaCluster]:
    """A node that may be killed, whose cleaner is in a hurry."""
    overrides = {"log.cleaner.backoff.ms": "200", "log.segment.bytes": "1048576"}
    with KafkaCluster(nodes=1, overrides=overrides) as cluster:
        yield cluster


async def test_a_reader_outlives_its_broker(own_cluster: KafkaCluster, app_id: str) -> None:
    settings = await with_topic(settings_for(Broker(own_cluster.bootstrap, "kafka"), app_id))
    writer = CatalogueWriter(settings)
    async with reading(settings) as reader:
        await ready(reader)
        first = await writer.import_tenant("demo", shop(3, "Before"), "test")
        await at_version(reader, first.version)
        own_cluster.kill(1)
        await asyncio.sleep(2)
        assert (reader.ready, reader.snapshot.version) == (True, first.version)
        await asyncio.to_thread(own_cluster.start_node, 1)
        second = await writer.import_tenant("demo", shop(4, "After"), "test")
        snapshot = await at_version(reader, second.version)
        assert len(snapshot.tenant("demo").entities) == 5


async def test_a_broker_that_dies_under_a_writer_is_an_error_and_no_hang(
    own_cluster: KafkaCluster, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tables.catalogue_commit._ABORT_TIMEOUT_S", 1.0)
    settings = await with_topic(settings_for(Broker(own_cluster.bootstrap, "kafka"), app_id))
    async with asyncio.timeout(15), begin_commit(settings) as commit:
        own_cluster.kill(1)
        with pytest.raises(CatalogueWriteError) as caught:
            await commit.write([(marker_key("demo"), b"{}")], timeout_s=2.0)
    assert caught.value.certain
    with pytest.raises(CatalogueWriteError, match="no import can begin"):
        await CatalogueWriter(settings).import_tenant("demo", shop(1), "test")
    with pytest.raises(CatalogueReadError):
        await CatalogueWriter(settings).read_tenant("demo")
    await asyncio.to_thread(own_cluster.start_node, 1)


async def test_a_reader_that_starts_without_a_broker_is_ready_once_there_is_one(
    own_cluster: KafkaCluster, app_id: str
) -> None:
    settings = await with_topic(settings_for(Broker(own_cluster.bootstrap, "kafka"), app_id))
    own_cluster.kill(1)
    async with reading(settings) as reader:
        await asyncio.sleep(1)
        assert "KafkaConnectionError" in (reader.problem or "")
        await asyncio.to_thread(own_cluster.start_node, 1)
        await ready(reader)


async def test_compaction_keeps_what_was_committed_and_nothing_else(
    own_cluster: KafkaCluster, app_id: str
) -> None:
    settings = settings_for(Broker(own_cluster.bootstrap, "kafka"), app_id)
    topic = topic_names(settings.app_id)[CATALOG]
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "500",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "1000",
        "delete.retention.ms": "0",
    }
    async with admin(own_cluster.bootstrap) as client:
        await client.create_topics([NewTopic(topic, 1, 1, topic_configs=config)])
    await with_topic(settings)
    writer = CatalogueWriter(settings)
    async with reading(settings) as steady:
        await ready(steady)
        await writer.import_tenant("demo", shop(20, "First"), "test")
        await writer.import_tenant("demo", shop(10, "Second"), "test", prune=True)
        producer = transactional(settings)
        await producer.start()
        await producer.begin_transaction()
        await send_offers(settings, producer, "Aborted")
        await producer.abort_transaction()
        await producer.stop()
        last = await writer.import_tenant("demo", shop(5, "Third"), "test")
        await at_version(steady, last.version)
        offsets = await compacted(settings, topic)
        assert len(offsets) < 25, offsets
        async with reading(settings) as late:
            await ready(late)
            assert late.problem is None
            assert late.snapshot.tenant("demo").entities == steady.snapshot.tenant("demo").entities
            names = [offer.name.split()[0] for offer in late.snapshot.tenant("demo").all("offers", Offer)]
            assert names == ["Third"] * 5 + ["Second"] * 5


async def compacted(settings: Settings, topic: str) -> list[int]:
    """The offsets of the topic once the cleaner has been over it, or those after a while."""
    offsets: list[int] = []
    for _ in range(40):
        # Barriers roll the segments: the cleaner leaves the newest one alone.
        async with open_feed(settings) as feed:
            barrier = await feed.write_barrier()
            offsets, met = [], False
            while not met:
                for record in await feed.records():
                    met = met or record.key == barrier
                    offsets.append(record.offset)
            await feed.remove_barrier(barrier)
        if len(offsets) < 25:
            break
        await asyncio.sleep(0.5)
    return offsets


def names_of(offers: list[Offer]) -> set[str]:
    """The first words of the names."""
    return {offer.name.split()[0] for offer in offers}
