"""What breaks one partition stops that partition, drops its memory, and recovers it from the log."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError

from app.decision.fold import fold_event
from app.worker import OffertideApp, create_app
from config.settings import Settings
from config.topics import changelog_topic
from tables.changelog import ChangelogWriter
from tables.fencing import PartitionProducer
from tables.layout import CONTROL_KEY, customer_key, trace_key
from tables.partition import Phase
from tables.store import StoreError
from tests.kafka import clients
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, eventually, running, settings_for
from tests.worker.inside import PURCHASE, counts, dead_letters, events, owner, produce, purchases, written
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]


@pytest.fixture
async def settings(kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path) -> Settings:
    """Of a worker on the shared Kafka, where the shop's catalogue is."""
    settings = settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id, tmp_path)
    await import_shop(settings)
    return settings


async def test_a_foreign_write_in_the_changelog_rebuilds_the_store(settings: Settings) -> None:
    async with running(settings) as app:
        await produce(settings, events("C1", 10))
        await counts(app, "C1", 10)
        number = owner(app, "C1").number
        others = {p.number: p for p in app.partitions if p.number != number}
        async with clients.producer(settings.broker) as producer:
            await producer.send_and_wait(changelog_topic(settings.app_id), b"x", b"Bstray", partition=number)
        await produce(settings, events("C1", 5))
        await counts(app, "C1", 15)
        rebuilt = app.metrics.batch_failures_total.labels("LandedElsewhereError")._value.get()
        assert rebuilt == 1.0
        assert all(partition.ready for partition in others.values()), "others never stopped"


async def test_a_partition_that_failed_answers_nothing_while_its_producer_stops(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, statuses = PartitionProducer.stop, list[int]()
    push = {"customerId": "C1", "channelId": "push", "limit": 1}
    click = {"customerId": "C1", "offerId": "offer-1", "channelId": "web", "outcomeType": "click"}
    async with running(settings) as app, Client(settings.worker_url, TENANT) as client:

        async def slow_stop(producer: PartitionProducer) -> None:
            failing = any(
                one.producer is producer and one.phase is not Phase.STOPPED for one in app.partitions
            )
            await stop(producer)
            if failing:
                statuses.append((await client.post("/api/v1/recommend", push))[0])
                statuses.append((await client.post("/api/v1/respond", click))[0])
                statuses.append((await client.get("/api/v1/customers/C1"))[0])

        monkeypatch.setattr(PartitionProducer, "stop", slow_stop)
        await produce(settings, events("C1", 10))
        await counts(app, "C1", 10)
        async with clients.producer(settings.broker) as producer:
            number = owner(app, "C1").number
            await producer.send_and_wait(changelog_topic(settings.app_id), b"x", b"Bstray", partition=number)
        await produce(settings, events("C1", 5))
        await counts(app, "C1", 15)
        monkeypatch.setattr(PartitionProducer, "stop", stop)
    assert statuses == [503, 503, 503]


async def test_a_store_ahead_of_its_changelog_is_rebuilt(settings: Settings) -> None:
    async with running(settings) as app:
        await produce(settings, events("C1", 10))
        await counts(app, "C1", 10)
        await eventually(lambda: written(app, "C1"), 10, "the batch in the store")
        store = owner(app, "C1").store
        assert store is not None
        store.apply([(b"Bstray", b"\x01")], store.offset + 1, store.offset + 1_000)
    async with running(settings) as app:
        await counts(app, "C1", 10)
        store = owner(app, "C1").store
        assert store is not None
        assert store.get(b"Bstray") is None


async def test_a_write_that_fails_while_stopping_lets_go_of_the_store(settings: Settings) -> None:
    async with running(settings) as app:
        store = owner(app, "C1").store
        assert store is not None
        store.apply([(b"Bstray", b"\x01")], store.offset + 1, store.offset + 1_000)
        owner(app, "C1").open(customer_key(TENANT, "C1"))
    async with running(settings) as app:
        await produce(settings, events("C1", 3))
        await counts(app, "C1", 3)


async def test_losing_the_partitions_fails_who_waits_and_answers_nothing(settings: Settings) -> None:
    async with running(settings) as app:
        partition = owner(app, "C1")
        waiting = partition.waiters.expect("r1")
        app.host.lose()
        assert partition.phase is Phase.STOPPED
        assert waiting.done()
        assert waiting.exception() is not None


async def test_a_decision_on_the_log_whose_partition_moves_is_pending(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts, so nobody may be told that nothing was recorded."""
    async with running(settings) as app, Client(settings.worker_url, TENANT) as client:
        await produce(settings, events("C1", 1))
        await counts(app, "C1", 1)
        publish = app.publisher.publish

        async def publish_and_lose(*arguments: Any) -> int:
            offset = await publish(*arguments)
            app.host.lose()
            return offset

        monkeypatch.setattr(app.publisher, "publish", publish_and_lose)
        status, body = await client.post("/api/v1/recommend", {"customerId": "C1", "channelId": "push"})
        assert (status, body["code"]) == (503, "PENDING")


@pytest.mark.parametrize("lost_after", [1, 2])
async def test_a_batch_torn_between_its_parts_loses_nothing_it_derived(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost_after: int,
) -> None:
    monkeypatch.setattr("tables.changelog.BATCH_BYTES", 2_000)
    send, parts = ChangelogWriter._send, itertools.count(1)

    async def send_some(self: ChangelogWriter, part: Any, now_ms: int) -> int:
        offset = await send(self, part, now_ms)
        if part[-1][0] != CONTROL_KEY and next(parts) == lost_after:
            raise KafkaConnectionError("cut off between two parts")
        return offset

    monkeypatch.setattr(ChangelogWriter, "_send", send_some)
    bad = [("C1", {**PURCHASE, "timestamp": "2999-01-01T00:00:00Z", "n": number}) for number in range(60)]
    # All there before the worker: one batch.
    await produce(settings, [*events("C1", 40), *bad, *events("C1", 40)])
    async with running(settings) as app:
        await counts(app, "C1", 80)
        assert next(parts) > lost_after, "the batch was torn"
        dead = await dead_letters(settings, 60)
    assert sorted(json.loads(value)["n"] for value in dead) == list(range(60))
    monkeypatch.undo()
    async with running(msgspec.structs.replace(settings, data_dir=tmp_path / "wiped")) as app:
        await counts(app, "C1", 80)
        assert len(owner(app, "C1").outbox) == 0


async def test_what_a_torn_batch_left_never_comes_to_be(settings: Settings, tmp_path: Path) -> None:
    """What it wrote may be what no refold writes again: it must be taken back, not written over."""
    async with running(settings) as app:
        await produce(settings, events("C1", 5))
        await counts(app, "C1", 5)
        number = owner(app, "C1").number
    stray = trace_key(1_800_000_000_000, "torn")
    async with clients.producer(settings.broker) as producer:
        await producer.send_and_wait(changelog_topic(settings.app_id), b"x", stray, partition=number)
    for folder in ("kept", "wiped"):
        async with running(msgspec.structs.replace(settings, data_dir=tmp_path / folder)) as app:
            await produce(settings, events("C1", 1))
            await counts(app, "C1", 6 if folder == "kept" else 7)
            store = owner(app, "C1").store
            assert store is not None
            assert store.get(stray) is None


async def test_a_record_on_which_the_program_fails_becomes_a_dead_letter_in_the_end(
    broker: Broker, app_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    fold = fold_event

    def fragile(customer: Any, event: Any, *others: Any) -> Any:
        if (event.data or {}).get("amount") == 13.0:
            raise ZeroDivisionError("a bug")
        return fold(customer, event, *others)

    monkeypatch.setattr("agents.folder.fold_event", fragile)
    unlucky = ("C1", {"type": "purchase", "data": {"amount": 13.0}})
    async with running(settings) as app:
        await produce(settings, [*events("C1", 5), unlucky, *events("C1", 5)])
        await counts(app, "C1", 10)
        dead = app.metrics.dead_letters_total.labels("internal")._value.get()
        assert dead >= 1.0
        assert app.metrics.batch_failures_total.labels("RecordFailedError")._value.get() == 2.0


@pytest.mark.parametrize("damage", ["missing table", "missing manifest", "torn manifest", "torn table"])
async def test_a_damaged_store_is_rebuilt(settings: Settings, damage: str) -> None:
    async with running(settings) as app:
        await produce(settings, [(f"C{number}", PURCHASE) for number in range(3_000)])
        await counts(app, "C1", 1)
        await eventually(lambda: written(app, "C1"), 10, "the batch in the store")
        store = owner(app, "C1").store
        assert store is not None
        path = store.path
        store._db.flush()
    pattern = "*.sst" if "table" in damage else "MANIFEST*"
    for file in path.glob(pattern):
        if damage.startswith("missing"):
            file.unlink()
        else:
            content = bytearray(file.read_bytes())
            for at in range(len(content) // 4, len(content) // 2):
                content[at] ^= 0xFF
            file.write_bytes(content)
    app = create_app(settings)
    await app.start_all()
    try:
        await eventually(lambda: _is_ready(app), 60, "all partitions ready")
        for number in range(3_000):
            await _readable(app, f"C{number}")
        assert app.metrics.recoveries_total.labels("rebuilt")._value.get() >= 1.0
        await produce(settings, events("C1", 2))
        await counts(app, "C1", 3)
    finally:
        await app.stop_all()


async def _is_ready(app: OffertideApp) -> bool:
    return sum(partition.ready for partition in app.partitions) == app.settings.partitions


async def _readable(app: OffertideApp, customer: str) -> None:
    """A reader meets the damage as a partition that is not ready, and then the right state."""

    async def counted() -> bool:
        try:
            return purchases(app, customer) == 1.0
        except StoreError:
            return False

    if not await counted():
        await eventually(counted, 30, f"{customer} read again")
