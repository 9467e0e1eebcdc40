"""The changelog on Kafka: whole batches only, torn ones taken back, foreign records found out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.metrics import new_metrics
from tables.changelog import (
    ChangelogReader,
    ChangelogWriter,
    Recovered,
    StoreAheadError,
    StoreTooOldError,
    take_back,
)
from tables.codec import Change
from tables.control import ORIGIN, Control
from tables.fencing import PartitionProducer
from tables.partition import Batch
from tables.store import PartitionStore, StoreMemory
from tests.kafka import clients
from tests.kafka.cluster import KafkaCluster

pytestmark = [pytest.mark.kafka]

#: Two of them are more than one part of a batch, once that is made small.
LARGE = os.urandom(500_000)


class Log:
    """One changelog partition on Kafka, and stores that follow it."""

    def __init__(self, bootstrap: str, topic: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.folder = folder
        self.memory = StoreMemory(8 << 20, 4 << 20)
        self.reader = ChangelogReader(topic, [bootstrap], new_metrics())

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[ChangelogWriter]:
        producer = PartitionProducer([self.bootstrap], self.topic, 5_000)
        await producer.start()
        try:
            yield ChangelogWriter(self.topic, 0, producer, new_metrics())
        finally:
            await producer.stop()

    def store(self, name: str) -> PartitionStore:
        return PartitionStore(self.folder / name, self.memory)

    async def tear(self, changes: list[Change]) -> None:
        """Write what a worker that died before its control record had written."""
        async with clients.producer(self.bootstrap) as producer:
            for key, value in changes:
                await producer.send_and_wait(self.topic, value, key, partition=0)


@pytest.fixture
async def log(kafka_cluster: KafkaCluster, unique: Any, tmp_path: Path) -> Log:
    topic = unique("changelog")
    await clients.create_topic(kafka_cluster.bootstrap, topic)
    return Log(kafka_cluster.bootstrap, topic, tmp_path)


def control(number: int) -> Control:
    return msgspec.structs.replace(ORIGIN, batch=number, positions=(number, 0, 0, 0, 0, 0))


def content(store: PartitionStore) -> dict[bytes, bytes]:
    return {key: value for key, value in store.scan(b"") if key[:1] not in b"!Z"}


async def test_a_batch_of_several_parts_is_recovered_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.changelog.BATCH_BYTES", 900_000)
    changes: list[Change] = [(b"B%d" % number, LARGE) for number in range(5)]
    async with log.writer() as writer:
        assert await writer.append(Batch(changes, control(1)), 0) == (0, 5)
    store = log.store("a")
    assert await log.reader.recover(store, 0) == Recovered(6, 6, ())
    assert content(store) == dict(changes)
    assert store.control() == control(1)


async def test_a_store_that_may_have_missed_deletions_says_so_until_it_is_rebuilt(log: Log) -> None:
    async with log.writer() as writer:
        await writer.append(Batch([(b"Ba", b"1")], control(1)), 0)
        store = log.store("a")
        await log.reader.recover(store, 0)
        # Nothing came since: however old it is, it misses nothing.
        assert await log.reader.recover(store, 0, oldest_ms=2) == Recovered(2, 0, ())
        await writer.append(Batch([(b"Ba", None)], control(2)), 2)
    for _ in range(2):
        store.close()
        store = log.store("a")
        with pytest.raises(StoreTooOldError):
            await log.reader.recover(store, 0, oldest_ms=2)
    assert await log.reader.recover(store, 0, oldest_ms=0) == Recovered(4, 2, ())


async def test_recovery_says_how_much_is_left(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tables.changelog.RECOVERY_RECORDS", 2)
    async with log.writer() as writer:
        await writer.append(Batch([(b"B%d" % number, b"x") for number in range(6)], control(1)), 0)
    left: list[int] = []
    await log.reader.recover(log.store("a"), 0, left.append)
    assert left == [5, 3, 1, 0]


async def test_a_torn_batch_never_happened_for_any_reader(log: Log) -> None:
    async with log.writer() as writer:
        await writer.append(Batch([(b"Ba", b"1"), (b"Bb", b"1")], control(1)), 0)
        await log.tear([(b"Ba", b"torn"), (b"Otorn", b"torn"), (b"Bb", None)])
        store = log.store("first")
        recovered = await log.reader.recover(store, 0)
        assert recovered == Recovered(6, 3, (b"Ba", b"Otorn", b"Bb"))
        end = await take_back(writer, store, recovered)
        await writer.append(Batch([(b"Bc", b"2")], control(3)), end)
    expected = {b"Ba": b"1", b"Bb": b"1", b"Bc": b"2"}
    for reader in (store, log.store("from nothing")):
        assert (await log.reader.recover(reader, 0)).torn == ()
        assert content(reader) == expected
        assert reader.control() == control(3)
    assert await compacted(log) == expected


async def compacted(log: Log) -> dict[bytes, bytes]:
    """The last value of each key: what compaction leaves, whatever stood before."""
    values: dict[bytes, bytes] = {}
    end = await clients.end_offset(log.bootstrap, log.topic)
    for key, value in await clients.consume_pairs(log.bootstrap, log.topic, end):
        if key[:1] != b"Z":
            values[key] = value
    return {key: value for key, value in values.items() if value is not None}


async def test_a_store_that_follows_is_not_led_into_a_torn_batch(log: Log) -> None:
    store = log.store("a")
    async with log.writer() as writer:
        first, last = await writer.append(Batch([(b"Ba", b"1")], control(1)), 0)
        store.apply([(b"Ba", b"1")], first, last)
    await log.tear([(b"Ba", b"torn")])
    recovered = await log.reader.recover(store, 0)
    assert recovered == Recovered(3, 0, (b"Ba",))
    assert store.get(b"Ba") == b"1"


async def test_taking_back_may_be_torn_itself(log: Log) -> None:
    async with log.writer() as writer:
        await writer.append(Batch([(b"Ba", b"1")], control(1)), 0)
        await log.tear([(b"Ba", b"torn"), (b"Bb", b"torn"), (b"Ba", b"1")])
        store = log.store("a")
        recovered = await log.reader.recover(store, 0)
        assert recovered.torn == (b"Ba", b"Bb")
        await take_back(writer, store, recovered)
    assert await compacted(log) == {b"Ba": b"1"} == content(store)


async def test_the_very_first_batch_may_be_torn(log: Log) -> None:
    await log.tear([(b"Ba", b"torn")])
    store = log.store("a")
    recovered = await log.reader.recover(store, 0)
    assert recovered == Recovered(1, 0, (b"Ba",))
    async with log.writer() as writer:
        end = await take_back(writer, store, recovered)
    assert end == 3
    assert content(store) == {}
    assert await log.reader.recover(log.store("b"), 0) == Recovered(3, 3, ())


async def test_the_last_control_record_is_found_however_long_the_tail(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tables.changelog.TAIL_RECORDS", 4)
    async with log.writer() as writer:
        await writer.append(Batch([(b"B%d" % number, b"1") for number in range(50)], control(1)), 0)
        await log.tear([(b"T%d" % number, b"torn") for number in range(90)])
        recovered = await log.reader.recover(log.store("a"), 0)
    assert (recovered.applied, len(recovered.torn)) == (51, 90)


async def test_a_store_ahead_of_its_log_is_refused(log: Log) -> None:
    store = log.store("a")
    store.apply([(b"Ba", b"1")], 0, 0)
    with pytest.raises(StoreAheadError):
        await log.reader.recover(store, 0)
