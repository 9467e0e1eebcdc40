"""Chunks from a broker: whole, continuous, sought where the state says, markers and aborts passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import faust
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from faust.types import TP, TransportT

from agents.streams import ChunkSchema
from app.transport.consumer import ConsumerOptions, MicroBatchConsumer, MicroBatchTransport
from app.transport.membership import Membership
from app.transport.recovery import table_manager
from app.transport.table import HostedTable, declare_table
from config.metrics import new_metrics
from tables.partitions import Partitions
from tests.kafka import clients
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster

#: Where a Kafka batch has the checksum of all that follows.
_CRC = 17

Piece = tuple[list[int], int, int]


class Owner:
    """Takes partitions by seeking them to given positions, and notes what it is handed."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.positions: dict[TP, int] = {}
        self.taken: list[set[int]] = []
        self.pieces: dict[int, list[Piece]] = {}
        self.headers: dict[int, list[Any]] = {}
        self.app: MicroApp | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, numbers: set[int], standbys: set[int]) -> None:
        self.taken.append(numbers)
        task = asyncio.ensure_future(self._resume(numbers))
        self._tasks.add(task)

    async def _resume(self, numbers: set[int]) -> None:
        assert self.app is not None
        consumer = cast(MicroBatchConsumer, self.app.consumer)
        tps = [TP(self.topic, number) for number in numbers]
        await consumer.seek_to({tp: self.positions.get(tp, 0) for tp in tps})
        consumer.resume_partitions(tps)

    def lose(self) -> None: ...

    async def stop(self) -> None:
        """Nothing is copied."""

    async def released(self) -> None: ...

    def durable(self) -> Mapping[TP, int]:
        return {TP(self.topic, number): pieces[-1][2] for number, pieces in self.pieces.items() if pieces}

    def offsets(self, number: int) -> list[int]:
        return [offset for records, _, _ in self.pieces.get(number, []) for offset in records]

    async def reaches(self, number: int, end: int) -> None:
        for _ in range(300):
            pieces = self.pieces.get(number)
            if pieces and pieces[-1][2] >= end:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"partition {number} stands at {self.pieces.get(number)}, not {end}")


class MicroApp(faust.App):
    options: ConsumerOptions

    def _new_transport(self) -> TransportT:
        transport = MicroBatchTransport(self.conf.broker_consumer, self)
        transport.options = self.options
        return cast(TransportT, transport)


@asynccontextmanager
async def consuming(
    broker: Broker, app_id: str, owner: Owner, folder: Path, size: int = 10
) -> AsyncIterator[MicroApp]:
    """An app that reads the owner's topic in chunks of at most `size` records."""
    app = MicroApp(
        app_id,
        broker=f"kafka://{broker.bootstrap}",
        datadir=folder,
        TableManager=table_manager(owner),
        web_enabled=False,
        topic_disable_leader=True,
        topic_partitions=2,
        stream_recovery_delay=0.0,
        broker_session_timeout=6.0 if broker.kind == "kafka" else 2.0,
        broker_heartbeat_interval=0.5,
        broker_rebalance_timeout=2.0,
        broker_commit_interval=0.2,
        consumer_auto_offset_reset="earliest",
    )
    owner.app = app
    app.options = ConsumerOptions(frozenset({owner.topic}), size, 20, owner, Membership(6_000))
    table = declare_table(app, "t", Partitions(2, 10, 10, new_metrics()), 2)
    assert isinstance(table, HostedTable)
    topic = app.topic(owner.topic, schema=ChunkSchema())

    @app.agent(topic)
    async def note(stream: Any) -> None:
        async for event in stream.noack().events():
            records, begin, end, _, seeks = event.value
            if seeks == cast(MicroBatchConsumer, app.consumer).seeks(event.message.tp):
                pieces = owner.pieces.setdefault(event.message.partition, [])
                pieces.append(([record.offset for record in records], begin, end))
                owner.headers.setdefault(event.message.partition, []).extend(
                    tuple(record.headers) for record in records
                )
            event.ack()

    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def _topic(broker: Broker, name: str, changelog: str) -> None:
    for topic in (name, changelog):
        await clients.create_topic(broker.bootstrap, topic, partitions=2)


async def test_records_come_whole_and_in_order_in_continuous_chunks(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    for number in (0, 1):
        await clients.produce(broker.bootstrap, owner.topic, [b"x"] * 95, partition=number)
    async with consuming(broker, app_id, owner, tmp_path):
        for number in (0, 1):
            await owner.reaches(number, 95)
            assert owner.offsets(number) == list(range(95))
            assert all(len(records) <= 10 for records, _, _ in owner.pieces[number])
            ends = [0] + [end for _, _, end in owner.pieces[number]]
            assert [begin for _, begin, _ in owner.pieces[number]] == ends[:-1]
        await clients.produce(broker.bootstrap, owner.topic, [b"y"], partition=0)
        await owner.reaches(0, 96)


async def test_reading_begins_where_the_state_stands_not_where_the_group_committed(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"x"] * 40, partition=0)
    owner.positions = {TP(owner.topic, 0): 17}
    async with consuming(broker, app_id, owner, tmp_path):
        await owner.reaches(0, 40)
        assert owner.offsets(0) == list(range(17, 40))


async def test_a_seek_makes_what_was_read_before_stale_and_reads_it_again(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"x"] * 30, partition=0)
    async with consuming(broker, app_id, owner, tmp_path) as app:
        await owner.reaches(0, 30)
        tp = TP(owner.topic, 0)
        app.consumer.pause_partitions([tp])
        owner.pieces.clear()
        await cast(MicroBatchConsumer, app.consumer).seek_to({tp: 5})
        app.consumer.resume_partitions([tp])
        await owner.reaches(0, 30)
        assert owner.offsets(0) == list(range(5, 30))


async def test_the_group_learns_how_far_the_state_is(
    kafka_cluster: KafkaCluster, app_id: str, unique: Any, tmp_path: Path
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"x"], partition=0)
    async with consuming(broker, app_id, owner, tmp_path):
        await owner.reaches(0, 1)
        await clients.produce(broker.bootstrap, owner.topic, [b"x"] * 24, partition=0)
        await owner.reaches(0, 25)
        async with clients.admin(broker.bootstrap) as admin:
            for _ in range(100):
                committed = await admin.list_consumer_group_offsets(app_id)
                if any(tp.topic == owner.topic and at.offset == 25 for tp, at in committed.items()):
                    return
                await asyncio.sleep(0.1)
    raise AssertionError(f"the group never committed 25: {committed}")


@pytest.mark.parametrize("commit_last", [True, False])
async def test_aborted_records_never_come_and_markers_are_passed_over(
    kafka_cluster: KafkaCluster, app_id: str, unique: Any, tmp_path: Path, commit_last: bool
) -> None:
    broker = Broker(kafka_cluster.bootstrap, "kafka")
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=unique("tx"))
    await producer.start()
    good: list[int] = []
    for commit in (True, False, not commit_last, commit_last):
        await producer.begin_transaction()
        for _ in range(3):
            sent = await producer.send_and_wait(owner.topic, b"x", partition=0)
            if commit:
                good.append(sent.offset)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()
    end = await clients.end_offset(broker.bootstrap, owner.topic)
    assert end > good[-1] + 1, "a marker ends the log"
    async with consuming(broker, app_id, owner, tmp_path):
        await owner.reaches(0, end)
        assert owner.offsets(0) == good


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_whatever_codec_a_producer_chose_is_read(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path, codec: Any
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=codec, linger_ms=20)
    await producer.start()
    sent = [await producer.send(owner.topic, b"x" * 500, partition=0) for _ in range(40)]
    await asyncio.gather(*sent)
    await producer.stop()
    async with consuming(broker, app_id, owner, tmp_path):
        await owner.reaches(0, 40)
        assert owner.offsets(0) == list(range(40))


async def test_a_header_name_that_is_not_utf8_stops_nobody(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"before"], partition=0)
    await _produce_odd_header(broker, owner.topic)
    await clients.produce(broker.bootstrap, owner.topic, [b"after"], partition=0)
    async with consuming(broker, app_id, owner, tmp_path):
        await owner.reaches(0, 5)
        assert owner.offsets(0) == [0, 1, 2, 3, 4]
        assert owner.headers[0] == [
            (),
            (("good", b"1"),),
            (("\\xff\\xfe", b"2"), ("good", None)),
            (("good", b"3"),),
            (),
        ]


async def _produce_odd_header(broker: Broker, topic: str) -> None:
    """Three records in one batch, a header of the second with a name that no client library would write."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    builder = producer.create_batch()
    for headers in ([("good", b"1")], [("zz", b"2"), ("good", None)], [("good", b"3")]):
        builder.append(key=None, value=b"x", timestamp=None, headers=headers)
    batch = bytearray(builder._build())
    at = batch.index(b"zz")
    batch[at : at + 2] = b"\xff\xfe"
    batch[_CRC : _CRC + 4] = calc_crc32c(bytes(batch[_CRC + 4 :])).to_bytes(4, "big")
    builder._buffer = batch
    await (await producer.send_batch(builder, topic, partition=0))
    await producer.stop()


async def test_large_records_come_in_chunks_of_few(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"x" * 300_000] * 12, partition=0)
    async with consuming(broker, app_id, owner, tmp_path, size=1_000):
        await owner.reaches(0, 12)
        assert owner.offsets(0) == list(range(12))
        assert max(len(records) for records, _, _ in owner.pieces[0]) == 3


async def test_a_rebalance_that_meets_a_stop_closes_nothing_from_another_thread(
    broker: Broker, app_id: str, unique: Any, tmp_path: Path
) -> None:
    owner = Owner(unique("events"))
    await _topic(broker, owner.topic, f"{app_id}-t-changelog")
    await clients.produce(broker.bootstrap, owner.topic, [b"x"], partition=0)
    async with consuming(broker, app_id, owner, tmp_path) as app:
        await owner.reaches(0, 1)
        # What Faust does then, on the worker's event loop; the client belongs to the thread's.
        app._on_rebalance_when_stopped()
        await clients.produce(broker.bootstrap, owner.topic, [b"y"], partition=0)
        await owner.reaches(0, 2)
