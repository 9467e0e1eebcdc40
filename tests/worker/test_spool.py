"""Kafka stopped while events come in: each is answered, none is lost, each is counted once and in order."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import TopicPartition

from config.settings import Settings
from config.topics import EVENTS, topic_names
from tables.clients import lone_consumer
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]

INGEST, BATCH = "/api/v1/events/ingest", "/api/v1/events"
CUSTOMERS = [f"C{number}" for number in range(6)]
AWAY_S = 30


class Shop:
    """Sends purchases, one after the other for each customer, and remembers what it was told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.answers: list[tuple[int, Any]] = []
        self.sent: Counter[str] = Counter()
        self.going = True

    async def buy(self, customer: str) -> None:
        number = self.sent[customer]
        self.sent[customer] += 1
        event = {"type": "purchase", "customerId": customer, "data": {"amount": 1.0, "n": number}}
        self.answers.append(await self.client.post(INGEST, event))

    async def buy_until_told(self) -> None:
        async def one(customer: str) -> None:
            while self.going:
                await self.buy(customer)
                await asyncio.sleep(0.05)

        await asyncio.gather(*map(one, CUSTOMERS))

    @property
    def last(self) -> Any:
        return self.answers[-1][1]


@pytest.fixture
async def settings(cluster: KafkaCluster, app_id: str, tmp_path: Path) -> Settings:
    settings = settings_for(
        Broker(cluster.bootstrap, "kafka"), app_id, tmp_path / "data", publish_timeout_ms=3_000
    )
    await import_shop(settings)
    return settings


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """One node of its own, which is stopped."""
    with KafkaCluster(nodes=1) as cluster:
        yield cluster


async def _all_counted(client: Client, sent: Counter[str]) -> None:
    async def counted() -> bool:
        for customer in CUSTOMERS:
            status, body = await client.get(f"/api/v1/customers/{customer}")
            if status != 200 or body["metrics"]["purchases"] != sent[customer]:
                return False
        return True

    await eventually(counted, 60, "every purchase counted once")


async def _spooled(client: Client, metric: str = "offertide_spool_records") -> float:
    _, text = await client.get("/metrics")
    [line] = [line for line in text.splitlines() if line.startswith(f"{metric} ")]
    return float(line.rpartition(" ")[2])


async def _first_seen(settings: Settings) -> dict[str, list[int]]:
    """For each customer the numbers of its purchases, in the order in which the fold meets them first."""
    topic = topic_names(settings.app_id)[EVENTS]
    partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
    seen: set[str] = set()
    order: dict[str, list[int]] = {}
    async with lone_consumer(settings.bootstrap_servers, 100) as consumer:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for event in [json.loads(record.value) for record in records]:
                    if event["eventId"] not in seen:
                        seen.add(event["eventId"])
                        order.setdefault(event["customerId"], []).append(event["data"]["n"])
    return order


async def test_kafka_stopped_while_events_come_in(cluster: KafkaCluster, settings: Settings) -> None:
    with WorkerProcess(settings) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            shop = Shop(client)
            buying = asyncio.create_task(shop.buy_until_told())
            await eventually(lambda: _told(shop, 30), 30, "events while Kafka is there")
            await asyncio.to_thread(cluster.kill, 1)
            await asyncio.sleep(AWAY_S)
            assert shop.last["streamId"] is None
            assert await _spooled(client) > 50
            await asyncio.to_thread(cluster.start_node, 1)
            await eventually(lambda: _through(shop), 60, "an event folded again before it is answered")
            shop.going = False
            await buying
            await _all_counted(client, shop.sent)
            assert await _spooled(client) == 0
            wrong = [answer for answer in shop.answers if answer[0] != 200 or not answer[1]["ingested"]]
            assert wrong == []
            nulls = [body for _, body in shop.answers if body["streamId"] is None]
            assert len(nulls) > 50
            assert all(body["triggersMatched"] == body["actionsDispatched"] == [] for body in nulls)
    assert await _first_seen(settings) == {
        customer: list(range(count)) for customer, count in shop.sent.items()
    }
    assert list((settings.data_dir / settings.app_id / "spool").glob("*.spool")) == []


async def test_a_worker_killed_meanwhile_loses_none(cluster: KafkaCluster, settings: Settings) -> None:
    with WorkerProcess(settings) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            shop = Shop(client)
            for customer in CUSTOMERS:
                await shop.buy(customer)
            await asyncio.to_thread(cluster.kill, 1)
            buying = asyncio.create_task(shop.buy_until_told())
            await eventually(lambda: _told(shop, 200), 60, "events while Kafka is away")
            worker.kill()
            with pytest.raises((aiohttp.ClientError, ExceptionGroup)):
                await buying
            # Whoever asked and got no answer does not know; the others were promised.
            promised = Counter(body["customerId"] for _, body in shop.answers)
            assert all(status == 200 for status, _ in shop.answers)
            await asyncio.to_thread(cluster.start_node, 1)
            worker.start()
            await client.ready()
            await eventually(lambda: _drained(client), 60, "the spool is empty")
    order = await _first_seen(settings)
    for customer in CUSTOMERS:
        assert order[customer] == list(range(len(order[customer]))), "in order"
        assert promised[customer] <= len(order[customer]) <= shop.sent[customer]


@pytest.mark.timeout(400)
async def test_who_stays_on_one_of_two_workers_keeps_the_order(
    cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    """The other one owns half of the customers: what it cannot get to Kafka is the first one's to keep."""
    broker = Broker(cluster.bootstrap, "kafka")
    both = [
        settings_for(broker, app_id, tmp_path / str(number), publish_timeout_ms=2_000) for number in (1, 2)
    ]
    await import_shop(both[0])
    with WorkerProcess(both[0]) as one, WorkerProcess(both[1]) as two:
        async with Client(one.url, TENANT) as client, Client(two.url, TENANT) as other:

            async def shared() -> bool:
                return all([await _owns(each, 4) for each in (client, other)])

            await eventually(shared, 120, "both own partitions, and are ready")
            shop = Shop(client)
            buying = asyncio.create_task(shop.buy_until_told())
            await eventually(lambda: _told(shop, 60), 30, "events while Kafka is there")
            await asyncio.to_thread(cluster.kill, 1)
            await eventually(lambda: _told(shop, 200), 30, "events while Kafka is away")
            assert await _spooled(client) > 50
            await asyncio.to_thread(cluster.start_node, 1)

            async def published() -> bool:
                return await _spooled(client, "offertide_spool_published_total") > 50

            await eventually(published, 120, "the spool is published again")
            more = len(shop.answers) + 60
            await eventually(lambda: _told(shop, more), 60, "events while it is")
            shop.going = False
            await buying
            await _all_counted(client, shop.sent)
            assert [answer for answer in shop.answers if answer[0] != 200] == []
            assert await _spooled(other, "offertide_spool_appended_total") == 0
    assert await _first_seen(both[0]) == {
        customer: list(range(count)) for customer, count in shop.sent.items()
    }


async def _owns(client: Client, count: int) -> bool:
    try:
        status, body = await client.get("/ready")
    except aiohttp.ClientError:
        return False
    return status == 200 and body["partitionsOwned"] == count


async def test_a_batch_while_kafka_is_away(cluster: KafkaCluster, settings: Settings) -> None:
    with WorkerProcess(settings) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            sent: Counter[str] = Counter()

            async def batch() -> list[dict[str, Any]]:
                items = []
                for customer in CUSTOMERS * 5:
                    data = {"amount": 1.0, "n": sent[customer]}
                    items.append({"eventType": "purchase", "customerId": customer, "properties": data})
                    sent[customer] += 1
                status, body = await client.post(BATCH, {"events": items})
                assert (status, body["accepted"], body["rejected"]) == (202, 30, 0), body
                results: list[dict[str, Any]] = body["results"]
                return results

            assert all(result["streamId"] for result in await batch())
            await asyncio.to_thread(cluster.kill, 1)
            for _ in range(3):
                assert all(result["streamId"] is None for result in await batch())
            await asyncio.to_thread(cluster.start_node, 1)
            await _all_counted(client, sent)
    order = await _first_seen(settings)
    assert order == {customer: list(range(count)) for customer, count in sent.items()}


async def _told(shop: Shop, count: int) -> bool:
    return len(shop.answers) >= count


async def _through(shop: Shop) -> bool:
    return shop.last["streamId"] is not None


async def _drained(client: Client) -> bool:
    return await _spooled(client) == 0
