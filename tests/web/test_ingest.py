"""POST /events/ingest as far as it goes without Kafka."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.child import free_ports
from app.decision.records import Event, decode_event
from tables.partition import Phase
from tests.web.harness import HEADERS, NOW_MS, PARTITIONS, TENANT, Client, Worker, running
from web.forwarding import FORWARDED_BY
from web.ingest import read_event
from web.instants import instant, iso
from web.view import encode

PATH = "/api/v1/events/ingest"
GOOD: dict[str, Any] = {"type": "purchase", "customerId": "ann", "data": {"amount": 3}}


async def test_without_kafka_it_is_kept_and_answered(client: Client, worker: Worker) -> None:
    response = await client.post(PATH, json={**GOOD, "eventId": "e1"}, headers=HEADERS)
    assert response.status == 200
    assert await response.json() == {
        "ingested": True,
        "eventType": "purchase",
        "customerId": "ann",
        "streamId": None,
        "triggersMatched": [],
        "actionsDispatched": [],
    }
    assert sum(len(partition.waiters) for partition in worker.partitions) == 0
    [kept] = await spooled(worker)
    assert (kept["eventId"], kept["customerId"], kept["tenantId"]) == ("e1", "ann", TENANT)
    assert worker.spool.stalled, "the next one does not wait for Kafka"


async def test_it_is_kept_whatever_is_not_ready(client: Client, worker: Worker) -> None:
    worker.leased = False
    assert (await client.post(PATH, json={**GOOD, "eventId": "no lease"}, headers=HEADERS)).status == 200
    worker.partition_for("ann").phase = Phase.FOLDING
    assert (await client.post(PATH, json={**GOOD, "eventId": "folding"}, headers=HEADERS)).status == 200
    worker.partitions.release(worker.number_for("ann"), "moved")
    assert (await client.post(PATH, json={**GOOD, "eventId": "moved"}, headers=HEADERS)).status == 200
    worker.catalogue_ready = False
    assert (await client.post(PATH, json={**GOOD, "eventId": "starting"}, headers=HEADERS)).status == 200
    ids = [event["eventId"] for event in await spooled(worker)]
    assert ids == ["no lease", "folding", "moved", "starting"]


async def test_an_owner_that_is_not_known_or_does_not_answer(tmp_path: Path) -> None:
    worker = Worker(tmp_path, web_port=free_ports(1)[0])
    async with worker.client() as client:
        for owner in (None, f"http://127.0.0.1:{free_ports(1)[0]}"):
            worker.owners = {} if owner is None else dict.fromkeys(range(PARTITIONS), owner)
            response = await client.post(PATH, json={**GOOD, "customerId": str(owner)}, headers=HEADERS)
            assert (response.status, (await response.json())["streamId"]) == (200, None)
        kept = await spooled(worker)
        assert len({event["eventId"] for event in kept}) == 2
        # As it was sent on by another worker that took this one for the owner.
        worker.owners = {}
        sent_on = {**HEADERS, FORWARDED_BY: f"{worker.settings.app_id} http://127.0.0.1:1"}
        response = await client.post(PATH, json=GOOD, headers=sent_on)
        assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
        assert len(await spooled(worker)) == 2, "that worker keeps it"


@pytest.mark.parametrize("trouble", ["kafka", "behind", "stalled", "lease", "phase", "moved"])
async def test_what_was_sent_on_is_kept_by_the_first_worker_only(tmp_path: Path, trouble: str) -> None:
    """In one spool it keeps its order; two would publish side by side."""
    first = Worker(tmp_path / "first", web_port=free_ports(1)[0])
    with running(tmp_path / "owner") as owner:
        async with first.client("first") as client, owner.client("owner") as direct:
            first.owners = dict.fromkeys(range(PARTITIONS), str(direct.make_url("/")).rstrip("/"))
            await in_trouble(owner, direct, trouble)
            own = await spooled(owner)
            for number in range(3):
                sent = {**GOOD, "data": {"n": number}}
                response = await client.post(PATH, json=sent, headers=HEADERS)
                assert (response.status, (await response.json())["streamId"]) == (200, None)
            kept = await spooled(first)
            assert [event["data"]["n"] for event in kept] == [0, 1, 2]
            assert await spooled(owner) == own
            assert first.metrics.http_forwarded_total.labels("answered")._value.get() == 1, "the first one"


async def in_trouble(owner: Worker, direct: Client, trouble: str) -> None:
    """Bring the owner to where it would put an event of its own into its spool; Kafka is away anyway."""
    if trouble == "behind":
        await direct.post(PATH, json=GOOD, headers=HEADERS)
        owner.spool.stalled = False
    elif trouble == "stalled":
        await direct.post(PATH, json={**GOOD, "customerId": "bob"}, headers=HEADERS)
        assert owner.spool.stalled
    elif trouble == "lease":
        owner.leased = False
    elif trouble == "phase":
        owner.partition_for("ann").phase = Phase.FOLDING
    elif trouble == "moved":
        owner.partitions.release(owner.number_for("ann"), "moved")


async def test_what_is_kept_was_received_when_it_came(tmp_path: Path) -> None:
    """However long the owner was waited for: an erasure asked for meanwhile is after it."""
    worker = Worker(tmp_path, web_port=free_ports(1)[0])

    async def owner(request: web.Request) -> web.Response:
        worker.now_ms += 9_000
        return web.json_response(
            {"error": "", "code": "PENDING"}, status=503, dumps=lambda b: encode(b).decode()
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", owner)
    async with TestServer(app) as server, worker.client() as client:
        worker.owners = dict.fromkeys(range(PARTITIONS), str(server.make_url("/")).rstrip("/"))
        assert (await client.post(PATH, json=GOOD, headers=HEADERS)).status == 200
        records, _ = await worker.spool.window()
        assert [record.at_ms for record in records] == [NOW_MS]


@pytest.mark.parametrize("code", ["NOT_READY", "PENDING", "lost"])
async def test_an_owners_answer_that_says_nothing(tmp_path: Path, code: str) -> None:
    """The owner may have written it: it gets the id under which this worker keeps it."""
    asked: list[dict[str, Any]] = []

    async def owner(request: web.Request) -> web.Response:
        asked.append(await request.json())
        if code == "lost" and request.transport is not None:
            request.transport.close()
        return web.json_response({"error": "", "code": code}, status=503, dumps=lambda b: encode(b).decode())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", owner)
    worker = Worker(tmp_path, web_port=free_ports(1)[0])
    async with TestServer(app) as server, worker.client() as client:
        worker.owners = dict.fromkeys(range(PARTITIONS), str(server.make_url("/")).rstrip("/"))
        response = await client.post(PATH, json={**GOOD, "colour": "red"}, headers=HEADERS)
        assert (response.status, (await response.json())["streamId"]) == (200, None)
        [kept] = await spooled(worker)
        assert asked == [{**GOOD, "colour": "red", "eventId": kept["eventId"]}]
        # The next one of the customer does not overtake it.
        assert (await client.post(PATH, json=GOOD, headers=HEADERS)).status == 200
        assert (len(asked), len(await spooled(worker))) == (1, 2)


async def test_an_owner_with_too_much_to_do_is_said(tmp_path: Path) -> None:
    async def owner(request: web.Request) -> web.Response:
        return web.json_response({"error": "", "code": "OVERLOADED"}, status=503)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", owner)
    worker = Worker(tmp_path, web_port=free_ports(1)[0])
    worker.documented = False
    async with TestServer(app) as server, worker.client() as client:
        worker.owners = dict.fromkeys(range(PARTITIONS), str(server.make_url("/")).rstrip("/"))
        response = await client.post(PATH, json=GOOD, headers=HEADERS)
        assert (response.status, (await response.json())["code"]) == (503, "OVERLOADED")
        assert await spooled(worker) == []


async def test_a_full_spool_says_what_to_do(tmp_path: Path) -> None:
    with running(tmp_path, spool_limit_bytes=300) as worker:
        async with worker.client() as client:
            assert (await client.post(PATH, json=GOOD, headers=HEADERS)).status == 200
            response = await client.post(PATH, json={**GOOD, "eventId": "mine"}, headers=HEADERS)
            body = await response.json()
            assert (response.status, body["code"]) == (503, "NOT_READY")
            assert response.headers["Retry-After"] == "1"
            assert "nothing was recorded" in body["error"]
            assert "retry with eventId mine" in body["error"]
            text = await (await client.get("/metrics")).text()
            assert 'offertide_spool_refused_total{reason="full"} 1.0' in text
            assert "offertide_spool_records 1.0" in text


async def spooled(worker: Worker) -> list[dict[str, Any]]:
    """The events in the worker's spool, in order."""
    records, _ = await worker.spool.window()
    return [msgspec.json.decode(record.value) for record in records]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"type": None}, {"type"}),
        ({"type": "refund"}, {"type"}),
        ({"customerId": None}, {"customerId"}),
        ({"customerId": ""}, {"customerId"}),
        ({"customerId": "x" * 257}, {"customerId"}),
        ({"customerId": 7}, {"customerId"}),
        ({"data": [1]}, {"data"}),
        ({"timestamp": "yesterday"}, {"timestamp"}),
        ({"timestamp": "2026-03-10T14:30:00"}, {"timestamp"}),
        ({"timestamp": iso(instant(NOW_MS + 300_001))}, {"timestamp"}),
        ({"eventId": ""}, {"eventId"}),
        ({"type": 1, "customerId": 2, "channel": 3, "data": 4}, {"type", "customerId", "channel", "data"}),
        (
            {"type": "refund", "customerId": 2, "timestamp": iso(instant(NOW_MS + 400_000))},
            {"type", "customerId", "timestamp"},
        ),
    ],
)
async def test_all_bad_fields_come_at_once(client: Client, change: dict[str, Any], fields: set[str]) -> None:
    response = await client.post(PATH, json={**GOOD, **change}, headers=HEADERS)
    assert response.status == 400
    body = await response.json()
    assert body["code"] == "VALIDATION_ERROR"
    assert {detail["field"] for detail in body["details"]} == fields
    assert all(detail["message"] for detail in body["details"])


def test_the_record_is_one_that_the_fold_accepts() -> None:
    record = read_event(encode({**GOOD, "colour": "red"}), TENANT, NOW_MS, "evt_1")
    event = decode_event(encode(record))
    assert isinstance(event, Event)
    assert (event.tenant_id, event.customer_id, event.type, event.event_id) == (
        TENANT,
        "ann",
        "purchase",
        "evt_1",
    )
    assert event.timestamp == instant(NOW_MS)
    assert event.data == {"amount": 3}
    assert b"null" not in encode(record)


def test_a_given_id_and_time_are_kept() -> None:
    at = instant(NOW_MS) - timedelta(days=2)
    body = msgspec.json.encode({**GOOD, "eventId": "mine", "timestamp": at})
    record = read_event(body, TENANT, NOW_MS, "evt_1")
    assert (record.event_id, record.timestamp) == ("mine", at)


def test_five_minutes_ahead_are_let_by() -> None:
    body = msgspec.json.encode({**GOOD, "timestamp": instant(NOW_MS + 300_000)})
    assert read_event(body, TENANT, NOW_MS, "evt_1").timestamp == instant(NOW_MS + 300_000)
