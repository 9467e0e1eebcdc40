"""What product.md promises of one worker, through HTTP, on both brokers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.broker import Broker
from tests.worker.harness import Client, eventually, produce_events, running, settings_for
from tests.worker.shop import TENANT, import_shop

ONE_IMPRESSION_EACH = [
    {
        "id": "once",
        "name": "Each offer once a day",
        "kind": "frequency_cap",
        "scopes": [{"scope": "offer", "id": f"offer-{n}"} for n in range(5)],
        "config": {"perDay": 1},
    }
]


def _recommend(customer: str, channel: str, **fields: Any) -> dict[str, Any]:
    return {"customerId": customer, "channelId": channel, **fields}


async def _know(client: Client, customer: str) -> None:
    status, body = await client.call(
        "PUT", f"/api/v1/customers/{customer}", {"attributes": {"firstName": "Ann"}}
    )
    assert status in (200, 201), body


async def test_two_hundred_concurrent_recommends_under_a_cap_of_three_deliver_three(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        await _know(client, "C1")
        request = _recommend("C1", "push", limit=2)
        answers = await asyncio.gather(*(client.post("/api/v1/recommend", request) for _ in range(200)))
        assert {status for status, _ in answers} == {200}
        delivered = [decision for _, body in answers for decision in body["decisions"]]
        assert len(delivered) == 3
        assert all(body["count"] == len(body["decisions"]) for _, body in answers)
        status, body = await client.post("/api/v1/recommend", request)
        assert (status, body["count"], body["meta"]["afterContactPolicy"]) == (200, 0, 0)

        async def folded() -> bool:
            _, state = await client.get("/api/v1/customers/C1")
            return bool(state["contacts"]["total"] == 3)

        await eventually(folded, 10, "three contacts in the state")


@pytest.mark.timeout(280)
async def test_after_respond_the_next_recommend_sees_it_ten_thousand_times(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings, **{"contact-policies": ONE_IMPRESSION_EACH})
    async with running(settings), Client(settings.worker_url, TENANT) as client:

        async def walk(customer: str) -> int:
            await _know(client, customer)
            pairs = 0
            for left in range(5, 0, -1):
                status, body = await client.post("/api/v1/recommend", _recommend(customer, "web"))
                assert (status, body["count"]) == (200, left), body
                top = body["decisions"][0]
                response = {
                    "customerId": customer,
                    "recommendationId": body["recommendationId"],
                    "rank": 1,
                    "outcome": "impression",
                    "idempotencyKey": f"i{left}",
                }
                status, body = await client.post("/api/v1/respond", response)
                assert (status, body["status"]) == (201, "recorded"), body
                status, body = await client.post("/api/v1/recommend", _recommend(customer, "web"))
                assert status == 200, body
                assert top["offerId"] not in {decision["offerId"] for decision in body["decisions"]}
                pairs += 1
            return pairs

        pairs = 0
        for start in range(0, 2_000, 50):
            pairs += sum(await asyncio.gather(*(walk(f"C{n}") for n in range(start, start + 50))))
        assert pairs == 10_000


async def test_ingest_answers_when_the_event_is_in_the_state(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        for number in range(1, 31):
            event = {"type": "purchase", "customerId": "C 1/ü", "data": {"amount": 0.5}}
            status, body = await client.post("/api/v1/events/ingest", event)
            assert (status, body["ingested"]) == (200, True), body
            assert body["streamId"].startswith("evt_")
            status, state = await client.get("/api/v1/customers/C%201%2F%C3%BC")
            assert (status, state["metrics"]["purchases"]) == (200, number)
        assert state["metrics"]["spend"] == 15.0


async def test_records_of_any_partitioner_reach_their_customer_in_order(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app, Client(settings.worker_url, TENANT) as client:
        await asyncio.to_thread(_produce_with_another_partitioner, broker, app.consumer_options.chunked)
        await produce_events(broker, app_id, [(f"C{n}", {"type": "purchase"}) for n in range(40)], TENANT)

        async def counted() -> bool:
            states = [await client.get(f"/api/v1/customers/C{n}") for n in range(40)]
            return all(status == 200 and body["metrics"]["purchases"] == 6 for status, body in states)

        await eventually(counted, 30, "six purchases each")
        _, page = await client.get("/metrics")
        rekeyed = next(line for line in page.splitlines() if line.startswith("offertide_rekeyed_total"))
        assert float(rekeyed.split()[1]) > 100


def _produce_with_another_partitioner(broker: Broker, topics: frozenset[str]) -> None:
    import json

    from confluent_kafka import Producer

    topic = next(name for name in topics if name.endswith("events"))
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for round_number in range(5):
        for n in range(40):
            body = {
                "tenantId": TENANT,
                "customerId": f"C{n}",
                "type": "purchase",
                "eventId": f"r{round_number}",
            }
            producer.produce(topic, json.dumps(body).encode(), f"{TENANT}:C{n}".encode())
    assert producer.flush(20) == 0


async def test_a_trace_says_why_and_why_not(broker: Broker, app_id: str, tmp_path: Path) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        await _know(client, "C1")
        for _ in range(3):
            await client.post("/api/v1/recommend", _recommend("C1", "push", limit=1))
        status, body = await client.post("/api/v1/recommend", _recommend("C1", "push", trace=True))
        assert (status, body["count"]) == (200, 0)
        status, trace = await client.get(f"/api/v1/decision-traces/{body['traceId']}")
        assert status == 200, trace
        assert [stage["name"] for stage in trace["stages"]] == [
            "enrich",
            "compute",
            "filter",
            "score",
            "rank",
        ]
        (filtered,) = [stage for stage in trace["stages"] if stage["name"] == "filter"]
        assert len(filtered["candidates"]) == 5
        assert all("push-cap" in str(candidate) for candidate in filtered["candidates"])
        async with Client(settings.worker_url, "someone-else") as stranger:
            status, _ = await stranger.get(f"/api/v1/decision-traces/{body['traceId']}")
            assert status == 404
