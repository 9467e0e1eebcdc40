"""What a caller gets from a whole worker: publish, fold, answer, on both brokers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.broker import Broker
from tests.worker.harness import Client, running, settings_for
from tests.worker.shop import TENANT, import_shop

RESPOND, CAPTURE = "/api/v1/respond", "/api/v1/capture"
RECOMMEND, INGEST = "/api/v1/recommend", "/api/v1/events/ingest"
ANN = "/api/v1/customers/ann"


async def test_a_worker_answers_as_the_contract_says(broker: Broker, app_id: str, tmp_path: Path) -> None:
    """One worker for all of it: starting one takes longer than everything it is asked here."""
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        await _customers(client)
        await _events(client)
        await _recommendation_and_its_responses(client)
        await _responses_to_what_is_named(client)
        await _concurrent_duplicates(client)
        await _traces(client)
        await _explanations(client)


async def _customers(client: Client) -> None:
    status, body = await client.call("GET", ANN)
    assert status == 404
    profile: dict[str, Any] = {"attributes": {"firstName": "Ann", "tier": "gold"}, "tags": ["vip"]}
    status, body = await client.call("PUT", ANN, profile)
    assert status == 201, body
    status, body = await client.call("PATCH", ANN, {"attributes": {"tier": None, "age": 40}, "locale": "it"})
    assert (status, body["attributes"]) == (200, {"firstName": "Ann", "age": 40})
    assert (body["tags"], body["locale"]) == (["vip"], "it")
    status, body = await client.call("PUT", ANN, {"attributes": {"firstName": "Ann"}})
    assert (status, body["attributes"], body["tags"]) == (200, {"firstName": "Ann"}, [])
    assert await client.call("GET", ANN) == (200, body)


async def _events(client: Client) -> None:
    event = {"type": "purchase", "customerId": "ann", "data": {"amount": 2.5}, "eventId": "e1"}
    status, body = await client.post(INGEST, event)
    assert (status, body) == (
        200,
        {
            "ingested": True,
            "eventType": "purchase",
            "customerId": "ann",
            "streamId": "e1",
            "triggersMatched": [],
            "actionsDispatched": [],
        },
    )
    status, body = await client.post(INGEST, event)
    assert (status, body["status"], body["streamId"]) == (200, "duplicate", "e1")
    status, body = await client.get(ANN)
    assert body["metrics"]["purchases"] == 1
    status, body = await client.post(INGEST, {"type": "page_view", "customerId": "eve"})
    assert (status, body["streamId"][:4]) == (200, "evt_"), "an event makes its customer known"
    assert (await client.get("/api/v1/customers/eve"))[0] == 200


async def _recommendation_and_its_responses(client: Client) -> None:
    request = {"customerId": "ann", "channelId": "web", "limit": 2}
    status, answer = await client.post(RECOMMEND, request)
    assert (status, answer["count"]) == (200, 2)
    assert answer["decisions"] == answer["recommendations"]
    assert answer["decisions"][0]["content"] == {"headline": "Hello Ann"}
    assert "degraded" not in answer["meta"]
    response = {
        "customerId": "ann",
        "recommendationId": answer["recommendationId"],
        "rank": 2,
        "outcome": "click",
        "idempotencyKey": "click-1",
        "conversionValue": 5,
    }
    status, body = await client.post(RESPOND, response)
    assert (status, body["status"], body["attribution"]) == (201, "recorded", "recommendation"), body
    assert (body["offerId"], body["rank"]) == (answer["decisions"][1]["offerId"], 2)
    status, again = await client.post(CAPTURE, response)
    assert (status, again["status"], again["interactionId"]) == (200, "duplicate", body["interactionId"])
    assert (again["timestamp"], again["recordedAt"]) == (body["timestamp"], body["recordedAt"])
    status, conflict = await client.post(RESPOND, {**response, "conversionValue": 6})
    assert (status, conflict["code"]) == (409, "CONFLICT")
    status, state = await client.get(ANN)
    assert state["metrics"]["clicks"] == 1
    assert state["recentRecommendations"][0]["recommendationId"] == answer["recommendationId"]


async def _responses_to_what_is_named(client: Client) -> None:
    tutorial = {"customerId": "tom", "offerId": "offer-1", "channelId": "web", "outcomeType": "conversion"}
    ids = set()
    for _ in range(2):
        status, body = await client.post(RESPOND, tutorial)
        assert (status, body["status"], body["classification"]) == (201, "recorded", "positive"), body
        assert (body["recommendationId"], body["attribution"]) == (None, "direct")
        ids.add(body["id"])
    assert len(ids) == 2, "without a key nothing is deduplicated"
    assert (await client.get("/api/v1/customers/tom"))[0] == 200, "a response makes its customer known"


async def _concurrent_duplicates(client: Client) -> None:
    response = {"customerId": "ann", "creativeId": "web-1", "outcome": "impression"}
    answers = await asyncio.gather(
        *(client.call("POST", RESPOND, response, **{"Idempotency-Key": "same"}) for _ in range(50)),
    )
    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    assert len({body["interactionId"] for _, body in answers}) == 1
    _, state = await client.get(ANN)
    assert state["contacts"] == {"total": 1, "byChannel": {"web": 1}}


async def _traces(client: Client) -> None:
    for channel in ("web", "push"):
        request = {"customerId": "ann", "channelId": channel, "trace": True}
        status, answer = await client.post(RECOMMEND, request)
        assert status == 200, answer
        status, trace = await client.get(f"/api/v1/decision-traces/{answer['traceId']}")
        assert (status, trace["customerId"]) == (200, "ann")
        order = trace["stages"][4]["finalOrder"]
        assert order == [decision["offerId"] for decision in answer["decisions"]]
        status, listed = await client.get("/api/v1/decision-traces?customerId=ann")
        assert (status, listed["decisionTraces"][0]["id"]) == (200, answer["traceId"])
        by_trace = {
            "customerId": "ann",
            "traceId": answer["traceId"],
            "offerId": order[0],
            "outcomeType": "dismiss",
        }
        status, body = await client.post(RESPOND, by_trace)
        assert (status, body["recommendationId"]) == (201, answer["recommendationId"]), body


async def _explanations(client: Client) -> None:
    tom = "/api/v1/customers/tom"
    before = await client.get(tom)
    request = {"customerId": "tom", "channelId": "push", "overrides": {"offers": [{"id": "offer-1"}]}}
    for _ in range(5):
        status, answer = await client.post("/api/v1/simulate", request)
        assert (status, answer["simulated"]) == (200, True), answer
        assert answer["count"] == 3, "no simulation uses up the cap"
    assert await client.get(tom) == before
    status, answer = await client.get(f"{tom}/eligibility?channelId=push")
    assert (status, answer["total"], answer["offers"][0]["eligible"]) == (200, 5, True)


@pytest.mark.timeout(120)
async def test_a_stopped_worker_fails_who_waits_and_hangs_nobody(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with Client(settings.worker_url, TENANT) as client:

        async def ingest(number: int) -> int:
            try:
                status, _ = await client.post(INGEST, {"type": "app_open", "customerId": f"c{number}"})
            except OSError:
                return 0
            return status

        async with running(settings):
            assert await ingest(0) == 200
            sent = [asyncio.create_task(ingest(number)) for number in range(200)]
            await asyncio.sleep(0.005)
        answers = await asyncio.gather(*sent)
        assert set(answers) <= {200, 503, 0}
