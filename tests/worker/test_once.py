"""The same key again, whatever became of the worker or its partitions meanwhile. On Apache Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from config.topics import DECISIONS, topic_names
from tables.layout import FENCE_KEY, customer_key
from tables.routing import partition_of
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop
from tests.worker.test_routing import two_workers

pytestmark = [pytest.mark.kafka]

CUSTOMERS = [f"C{number}" for number in range(12)]
KEY = "once"
RECOMMEND, RESPOND, CAPTURE = "/api/v1/recommend", "/api/v1/respond", "/api/v1/capture"
INGEST = "/api/v1/events/ingest"


@asynccontextmanager
async def _worker(kafka: KafkaCluster, app_id: str, folder: Path) -> AsyncIterator[WorkerProcess]:
    broker = Broker(kafka.bootstrap, "kafka")
    worker = WorkerProcess(settings_for(broker, app_id, folder, partitions=2))
    await import_shop(worker.settings)
    with worker:
        yield worker


async def _call(client: Client, path: str, body: dict[str, Any], key: str = "") -> tuple[int, Any]:
    """The answer, once the customer's partition is ready."""
    headers = {"Idempotency-Key": key} if key else {}
    found: list[tuple[int, Any]] = []

    async def ready() -> bool:
        try:
            status, answer = await client.call("POST", path, body, **headers)
        except aiohttp.ClientError:
            return False
        found.append((status, answer))
        return status != 503

    await eventually(ready, 60, f"{path} is answered")
    return found[-1]


async def _recommended(client: Client, customer: str, **fields: Any) -> Any:
    """What a customer is offered by push, under the one key."""
    body = {"customerId": customer, "channelId": "push", "limit": 1, **fields}
    status, answer = await _call(client, RECOMMEND, body, KEY)
    assert status == 200, answer
    return answer


def _click(customer: str, recommended: Any) -> dict[str, Any]:
    named = {"recommendationId": recommended["recommendationId"], "rank": 1}
    return {"customerId": customer, **named, "outcome": "click"}


async def _decided(kafka: KafkaCluster, app_id: str, partitions: int = 2) -> list[Any]:
    """The decisions on the log, of all partitions."""
    topic = topic_names(app_id)[DECISIONS]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        left = await consumer.end_offsets(places)
        found: list[Any] = []
        async with asyncio.timeout(30):
            while any([await consumer.position(place) < end for place, end in left.items()]):
                batches = await consumer.getmany(timeout_ms=200)
                found += [record for records in batches.values() for record in records]
        return [json.loads(record.value) for record in found if record.key != FENCE_KEY]
    finally:
        await consumer.stop()


async def test_after_kill_9_every_key_still_holds(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with _worker(kafka_cluster, app_id, tmp_path) as worker, Client(worker.url, TENANT) as client:
        purchase = {"type": "purchase", "customerId": "C1", "eventId": "e1"}
        assert (await _call(client, INGEST, purchase))[0] == 200
        first = await _recommended(client, "C1")
        status, clicked = await _call(client, RESPOND, _click("C1", first), KEY)
        assert (first["count"], status, clicked["status"]) == (1, 201, "recorded"), clicked
        for _ in range(2):
            worker.kill()
            worker.start()
            assert await _recommended(client, "C1") == first
            status, again = await _call(client, CAPTURE, {**_click("C1", first), "idempotencyKey": KEY})
            assert (status, again["status"]) == (200, "duplicate"), again
            assert again["interactionId"] == clicked["interactionId"]
            other = {**_click("C1", first), "idempotencyKey": KEY, "conversionValue": 1}
            assert (await _call(client, RESPOND, other))[0] == 409
            assert (await _call(client, INGEST, purchase))[1]["status"] == "duplicate"
        _, state = await client.get("/api/v1/customers/C1")
        assert (state["contacts"]["total"], state["metrics"]["clicks"]) == (1, 1)
        assert state["metrics"]["purchases"] == 1
        assert len(await _decided(kafka_cluster, app_id)) == 1


async def test_an_answer_that_was_lost_is_given_by_the_next_process(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with _worker(kafka_cluster, app_id, tmp_path) as worker, Client(worker.url, TENANT) as client:
        await client.ready()
        assert (await client.call("PUT", "/api/v1/customers/C1", {}))[0] == 201
        await _ask_and_hang_up(worker, {"customerId": "C1", "channelId": "push"})

        async def on_the_log() -> bool:
            return len(await _decided(kafka_cluster, app_id)) == 1

        await eventually(on_the_log, 30, "the decision is on the log")
        worker.kill()
        worker.start()
        answer = await _recommended(client, "C1")
        (decided,) = await _decided(kafka_cluster, app_id)
        assert answer["recommendationId"] == decided["recommendationId"]
        assert answer == decided["answer"]


async def _ask_and_hang_up(worker: WorkerProcess, body: dict[str, Any]) -> None:
    """Send a recommend and close the connection without reading."""
    content = json.dumps(body).encode()
    head = (
        f"POST {RECOMMEND} HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: {TENANT}\r\nIdempotency-Key: {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", worker.settings.web_port)
    writer.write(head.encode() + content)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_key_holds_at_whoever_owns_the_partition(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((first, one), (second, two)):
        given: dict[str, Any] = {}
        for customer in CUSTOMERS:
            assert (await one.call("PUT", f"/api/v1/customers/{customer}", {}))[0] == 201
            given[customer] = await _recommended(one, customer, trace=True)
        clicked = {name: (await _call(two, RESPOND, _click(name, given[name]), KEY))[1] for name in CUSTOMERS}
        await _ids_say_where(two, given, clicked)
        moves: list[tuple[Callable[[], object], Client]] = [(second.stop, one), (first.kill, two)]
        for leave, left in moves:
            if left is two:
                second.start()
                await eventually(lambda: _ready(two), 60, "the other one is back")
            await asyncio.to_thread(leave)
            for customer in CUSTOMERS:
                assert await _recommended(left, customer) == given[customer]
                status, again = await _call(left, RESPOND, _click(customer, given[customer]), KEY)
                assert (status, again["interactionId"]) == (200, clicked[customer]["interactionId"]), again
        assert len(await _decided(kafka_cluster, app_id, partitions=8)) == len(CUSTOMERS)


async def _ready(client: Client) -> bool:
    try:
        status, body = await client.get("/ready")
    except aiohttp.ClientError:
        return False
    return status == 200 and body["partitionsOwned"] == 4


async def _ids_say_where(client: Client, given: dict[str, Any], clicked: dict[str, Any]) -> None:
    """Recommendations, interactions and traces carry their partition; a trace is found by its id alone."""
    for customer, answer in given.items():
        number = partition_of(customer_key(TENANT, customer), 8)
        ids = [answer["recommendationId"], answer["traceId"], answer["decisions"][0]["interactionId"]]
        ids.append(clicked[customer]["interactionId"])
        assert {int(each.split("_")[1], 16) for each in ids} == {number}
        status, trace = await client.get(f"/api/v1/decision-traces/{answer['traceId']}")
        assert (status, trace["customerId"]) == (200, customer)
