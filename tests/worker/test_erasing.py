"""An erased customer is gone from stores, changelog and standbys, and stays so. On Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from app.decision.ids import routed_id
from config.topics import DECISIONS, EVENTS, PROFILES, RESPONSES, changelog_topic, topic_names
from tables.clients import lone_consumer
from tables.layout import FENCE_KEY, customer_hash, customer_key
from tables.routing import partition_of
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually
from tests.worker.shop import TENANT
from tests.worker.test_routing import two_workers
from tests.worker.test_standbys import _content, _settled

pytestmark = [pytest.mark.kafka]

CUSTOMER = "ann.soderstrom@example.org"
PATH = f"/api/v1/customers/{CUSTOMER}"
RECOMMEND = {"customerId": CUSTOMER, "limit": 2}


async def _fill(client: Client) -> None:
    """Give the customer everything: profile, events, contacts, traces, a suppressing outcome."""
    profile = {"attributes": {"mail": CUSTOMER}, "tags": ["vip"], "consent": {"push": "granted"}}
    status, body = await client.call("PUT", PATH, profile)
    assert status == 201, body
    for number in range(12):
        event = {"type": "purchase", "customerId": CUSTOMER, "data": {"amount": 1.5}, "eventId": f"e{number}"}
        assert (await client.post("/api/v1/events/ingest", event))[0] == 200
    for channel in ("push", "web", "web"):
        asked = {**RECOMMEND, "channelId": channel, "trace": True}
        status, body = await client.post("/api/v1/recommend", asked)
        assert (status, "traceId" in body) == (200, True), body
    said = {"customerId": CUSTOMER, "recommendationId": body["recommendationId"], "rank": 1}
    for outcome in ("impression", "click", "opt_out"):
        status, body = await client.post(
            "/api/v1/respond", {**said, "outcome": outcome, "idempotencyKey": "k"}
        )
        assert status == 201, body


async def _produce(
    kafka: KafkaCluster, app_id: str, records: list[tuple[str, dict[str, Any]]], at_ms: int | None = None
) -> None:
    """Write records of the customer as an outside producer does, under a time of its own."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    try:
        for topic, body in records:
            value = json.dumps({"tenantId": TENANT, "customerId": CUSTOMER, **body}).encode()
            key = f"{TENANT}:{CUSTOMER}".encode()
            await producer.send_and_wait(topic_names(app_id)[topic], value, key, timestamp_ms=at_ms)
    finally:
        await producer.stop()


def _parked(worker: WorkerProcess) -> dict[str, Any]:
    """A response to a decision that never comes."""
    unseen = routed_id("rec", 0, int(time.time() * 1000), "ffffffff")
    return {"outcome": "click", "recommendationId": unseen, "rank": 1, "idempotencyKey": "parked"}


def _old(at_ms: int) -> list[tuple[str, dict[str, Any]]]:
    """What a producer may send again of before."""
    shown = [[1, "offer-1", "push-1", "push", "music", None]]
    decided = {
        "recommendationId": routed_id("rec", 0, at_ms, "abababab"),
        "decisionFlowId": "main",
        "atMs": at_ms,
        "catalogueVersion": 1,
        "origin": "another",
        "sequence": 1,
        "shown": shown,
        "contactRanks": [1],
    }
    return [
        (EVENTS, {"type": "purchase", "data": {"amount": 1.5}, "eventId": "e1"}),
        (EVENTS, {"type": "purchase", "data": {"amount": 1.5}}),
        (PROFILES, {"attributes": {"mail": CUSTOMER}}),
        (DECISIONS, decided),
        (RESPONSES, {"outcome": "click", "creativeId": "web-1", "idempotencyKey": "again"}),
    ]


async def _changelog(kafka: KafkaCluster, app_id: str) -> dict[tuple[int, bytes], bytes | None]:
    """The last value of each key, by partition: what compaction leaves."""
    last: dict[tuple[int, bytes], bytes | None] = {}
    places = [TopicPartition(changelog_topic(app_id), number) for number in range(8)]
    async with lone_consumer([kafka.bootstrap], 100, committed=True) as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=1_000)).items():
                last |= {(place.partition, record.key): record.value for record in records}
    return {place: value for place, value in last.items() if place[1] != FENCE_KEY}


async def _assert_unnamed(kafka: KafkaCluster, workers: tuple[WorkerProcess, ...]) -> None:
    """Nothing that the stopped workers' stores or the changelog hold names the customer."""
    name = CUSTOMER.encode()
    logged = await _changelog(kafka, workers[0].settings.app_id)
    assert [
        at for at, value in logged.items() if value is not None and (name in at[1] or name in value)
    ] == []
    assert [at for at, value in logged.items() if value is None and name in at[1]], "but as tombstones"
    for worker in workers:
        for number in range(8):
            stored = _content(worker, number)
            assert [key for key, value in stored.items() if name in key or name in value] == []


@pytest.mark.timeout(240)
async def test_an_erased_customer_is_nowhere_and_does_not_come_back(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((first, one), (second, two)):
        before_ms = int(time.time() * 1000)
        await _fill(one)
        await _produce(kafka_cluster, app_id, [(RESPONSES, _parked(first))])
        await _settled(one, two)

        asked = [{**RECOMMEND, "channelId": channel} for channel in ("push", "web")] * 20
        erasing = asyncio.create_task(one.call("DELETE", PATH))
        answers = await asyncio.gather(
            *(client.post("/api/v1/recommend", body) for body in asked for client in (one, two))
        )
        status, erasure = await erasing
        assert status == 202, erasure
        assert {status for status, _ in answers} <= {200, 404}
        assert CUSTOMER not in json.dumps(erasure)
        assert (await two.call("GET", PATH))[0] == 404

        for client in (one, two):
            assert await client.get(f"/api/v1/erasures/{erasure['erasureId']}") == (200, erasure)
        await _produce(kafka_cluster, app_id, _old(before_ms), before_ms)
        await _settled(one, two)
        assert (await one.call("GET", PATH))[0] == 404
        first.kill()
        second.kill()
        await _assert_unnamed(kafka_cluster, (first, second))

        # Without any disk; then a new event.
        shutil.rmtree(first.settings.data_dir / app_id)
        first.start()
        await one.ready()
        await eventually(lambda: _all_owned(one), 60, "one worker owns all")
        assert (await one.call("GET", PATH))[0] == 404
        assert (await one.get(f"/api/v1/erasures/{erasure['erasureId']}"))[0] == 200
        event = {"type": "purchase", "customerId": CUSTOMER, "eventId": "e1"}
        status, body = await one.post("/api/v1/events/ingest", event)
        assert (status, "status" in body) == (200, False), "the id of an event of before counts anew"
        await _produce(kafka_cluster, app_id, _old(before_ms), before_ms)
        status, state = await one.call("GET", PATH)
        assert (status, state["metrics"]["purchases"], state["attributes"]) == (200, 1, {})
        assert (state["contacts"]["total"], state["recentRecommendations"]) == (0, [])


@pytest.mark.timeout(240)
async def test_a_worker_killed_right_after_the_answer_has_erased(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((first, one), (second, _)):
        await _fill(one)
        second.kill()
        await eventually(lambda: _all_owned(one), 60, "one worker owns all")
        aside = tmp_path / "aside"
        first.stop()
        shutil.copytree(first.settings.data_dir / app_id, aside)
        first.start()
        await one.ready()
        assert (await one.call("GET", PATH))[0] == 200
        status, erasure = await one.call("DELETE", PATH)
        first.kill()
        assert status == 202, erasure
        # A disk of before the erasure: its positions are older, too.
        shutil.rmtree(first.settings.data_dir / app_id)
        shutil.copytree(aside, first.settings.data_dir / app_id)
        first.start()
        await one.ready()
        await eventually(lambda: _all_owned(one), 60, "it owns all")
        assert (await one.call("GET", PATH))[0] == 404
        assert await one.get(f"/api/v1/erasures/{erasure['erasureId']}") == (200, erasure)
        first.stop()
        await _assert_unnamed(kafka_cluster, (first,))


@pytest.mark.timeout(240)
async def test_any_worker_puts_the_fact_into_the_trail_and_nobodys_name(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    """Both workers erase at once, and one changes the catalogue: each fences the other, none is lost."""
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((_, one), (_, two)):
        places = {
            each["partition"]: each["url"] for each in (await one.get("/api/v1/topology"))[1]["partitions"]
        }
        writer = one if places[0] == one.url else two
        names = {client: _owned_by(client, places) for client in (one, two)}
        assert all(names.values())
        other = two if writer is one else one
        customers = [name for client in (other, writer) for name in names[client][:6]]

        async def until_erased(name: str) -> None:
            async def erased() -> bool:
                status, body = await other.call("DELETE", f"/api/v1/customers/{name}")
                assert status in (202, 503), body
                return status == 202

            await eventually(erased, 60, f"{name} is erased")

        change = other.post("/api/v1/categories", {"id": "jazz", "name": "Jazz"})
        answers = await asyncio.gather(change, *(until_erased(name) for name in customers))
        assert answers[0][0] in (201, 503), answers[0]
        subjects = {customer_hash(customer_key(TENANT, name)).hex() for name in customers}
        for client in (one, two):
            status, trail = await client.get("/api/v1/audit?action=customer.erased&limit=200")
            assert (status, trail["chain"]["verified"]) == (200, True)
            assert {entry["id"] for entry in trail["audit"]} == subjects
            assert not any(name in json.dumps(trail) for name in customers)


def _owned_by(client: Client, places: dict[int, str]) -> list[str]:
    """Customers of whom a worker owns the partition."""
    names = [f"erased-{number}" for number in range(60)]
    return [name for name in names if places[partition_of(customer_key(TENANT, name), 8)] == client.url]


async def _all_owned(client: Client) -> bool:
    status, body = await client.get("/ready")
    return status == 200 and bool(body["partitionsOwned"] == 8)
