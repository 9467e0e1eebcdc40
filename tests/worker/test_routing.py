"""Any worker takes any request. Two workers on Apache Kafka, asked in turns."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka]

CUSTOMERS = [f"C{number}" for number in range(24)]


@asynccontextmanager
async def two_workers(
    kafka: KafkaCluster, app_id: str, folder: Path, **settings: Any
) -> AsyncIterator[tuple[tuple[WorkerProcess, Client], tuple[WorkerProcess, Client]]]:
    """Two workers that share the partitions, each with its client."""
    broker = Broker(kafka.bootstrap, "kafka")
    first = WorkerProcess(settings_for(broker, app_id, folder / "1", **settings))
    second = WorkerProcess(settings_for(broker, app_id, folder / "2", **settings))
    await import_shop(first.settings)
    with first, second:
        async with Client(first.url, TENANT) as one, Client(second.url, TENANT) as two:
            await eventually(lambda: _shared(one, two), 60, "both own partitions, and are ready")
            yield (first, one), (second, two)


async def _shared(one: Client, two: Client) -> bool:
    try:
        answers = [await client.get("/ready") for client in (one, two)]
    except aiohttp.ClientError:
        return False
    return all(status == 200 and body["partitionsOwned"] == 4 for status, body in answers)


async def test_whoever_is_asked_answers_and_sees_what_the_other_was_told(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((_, one), (_, two)):
        topologies = [await client.get("/api/v1/topology") for client in (one, two)]
        assert topologies[0] == topologies[1]
        owners = {each["url"] for each in topologies[0][1]["partitions"]}
        assert owners == {one.url, two.url}
        turns = itertools.cycle([one, two])
        for customer in CUSTOMERS:
            await _round(customer, next(turns), next(turns))
            await _round(customer, next(turns), next(turns))
            next(turns)
        _, page = await one.get("/metrics")
        forwarded = 'offertide_http_forwarded_total{outcome="answered"}'
        assert any(line.startswith(forwarded) and float(line.split()[1]) > 20 for line in page.splitlines())


async def _round(customer: str, one: Client, two: Client) -> None:
    """A purchase, a decision and a click of a customer, each seen at the other worker at once."""
    _, before = await two.get(f"/api/v1/customers/{customer}")
    counted = before.get("metrics", {})
    purchase = {"type": "purchase", "customerId": customer, "data": {"amount": 1.0}}
    assert (await one.post("/api/v1/events/ingest", purchase))[0] == 200
    asked = {"customerId": customer, "channelId": "web", "limit": 1, "debug": True}
    status, recommended = await two.post("/api/v1/recommend", asked)
    assert (status, recommended["count"]) == (200, 1)
    click = {"recommendationId": recommended["recommendationId"], "rank": 1, "outcomeType": "click"}
    status, answered = await one.post("/api/v1/respond", {"customerId": customer, **click})
    assert (status, answered["recommendationId"]) == (201, recommended["recommendationId"]), answered
    _, after = await two.get(f"/api/v1/customers/{customer}")
    assert after["metrics"]["purchases"] == counted.get("purchases", 0) + 1
    assert after["metrics"]["clicks"] == counted.get("clicks", 0) + 1


async def test_while_an_owner_is_gone_its_customers_get_retry_after_and_then_an_answer(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((_, one), (second, two)):
        for customer in CUSTOMERS:
            assert (await one.call("PUT", f"/api/v1/customers/{customer}", {}))[0] == 201
        second.kill()
        answers = [await one.get(f"/api/v1/customers/{customer}") for customer in CUSTOMERS]
        refused = [body for status, body in answers if status == 503]
        assert {status for status, _ in answers} == {200, 503}
        assert {body["code"] for body in refused} == {"NOT_READY"}

        async def taken_over() -> bool:
            found = await asyncio.gather(*(one.get(f"/api/v1/customers/{name}") for name in CUSTOMERS))
            assert {status for status, _ in found} <= {200, 503}
            return all(status == 200 for status, _ in found)

        await eventually(taken_over, 30, "the other worker took over")
        assert not second.running
        with pytest.raises(aiohttp.ClientError):
            await two.get("/health")
