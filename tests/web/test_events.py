"""POST /events as far as it goes without Kafka: every item by itself, and none lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.decision.records import Event, decode_event
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker, running
from web.instants import instant, iso

PATH = "/api/v1/events"


def item(customer: str = "ann", **fields: Any) -> dict[str, Any]:
    return {"eventType": "viewed", "customerId": customer, **fields}


async def spooled(worker: Worker) -> list[Event]:
    """The events in the worker's spool, in order, as the fold reads them."""
    records, _ = await worker.spool.window()
    events = [decode_event(record.value) for record in records]
    assert all(isinstance(event, Event) for event in events)
    return [event for event in events if isinstance(event, Event)]


async def test_every_item_is_kept_as_it_was_said(client: Client, worker: Worker) -> None:
    at = iso(instant(NOW_MS - 60_000))
    full = item(
        properties={"page": "/x"}, sessionId="s1", timestamp=at, eventId="e1", channel="web", colour="red"
    )
    other = {"type": "bought", "data": {"n": 1}, "customerId": "bob"}
    response = await client.post(PATH, json={"events": [full, other]}, headers=HEADERS)
    assert response.status == 202
    assert await response.json() == {
        "accepted": 2,
        "rejected": 0,
        "results": [
            {"index": 0, "status": "accepted", "streamId": None},
            {"index": 1, "status": "accepted", "streamId": None},
        ],
    }
    by_customer = {event.customer_id: event for event in await spooled(worker)}
    ann, bob = by_customer["ann"], by_customer["bob"]
    assert (ann.tenant_id, ann.type, ann.data, ann.session_id) == (TENANT, "viewed", {"page": "/x"}, "s1")
    assert (ann.timestamp, ann.event_id, ann.channel) == (instant(NOW_MS - 60_000), "e1", "web")
    assert (bob.type, bob.data, bob.timestamp) == ("bought", {"n": 1}, instant(NOW_MS))
    assert (bob.event_id or "").startswith("evt_")


async def test_a_bare_array_is_a_batch(client: Client, worker: Worker) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    response = await client.post(PATH, data=b" [" + msgspec.json.encode(item()) + b"]", headers=headers)
    assert (response.status, (await response.json())["accepted"]) == (202, 1)


async def test_bad_items_are_told_apart_with_all_their_fields(client: Client, worker: Worker) -> None:
    ahead = iso(instant(NOW_MS + 300_001))
    items: list[Any] = [
        item(eventId="good"),
        {},
        item(eventType=7, customerId="", timestamp=ahead),
        item(type="other"),
        item(properties={"a": 1}, data={"a": 2}),
        "no object",
        item(timestamp="2026-03-10T14:30:00"),
    ]
    response = await client.post(PATH, json={"events": items}, headers=HEADERS)
    body = await response.json()
    assert (response.status, body["accepted"], body["rejected"]) == (202, 1, 6)
    assert [result["index"] for result in body["results"]] == list(range(7))
    assert {result["status"] for result in body["results"][1:]} == {"rejected"}
    assert all(result["error"] and result["streamId"] is None for result in body["results"][1:])
    fields = [{detail["field"] for detail in result.get("details", ())} for result in body["results"]]
    assert fields == [
        set(),
        {"customerId", "eventType"},
        {"eventType", "customerId", "timestamp"},
        {"type"},
        {"data"},
        {""},
        {"timestamp"},
    ]
    assert [event.event_id for event in await spooled(worker)] == ["good"]


async def test_a_repeated_id_is_one_event(client: Client, worker: Worker) -> None:
    items = [item(eventId="e"), item(eventId="e"), item("bob", eventId="e"), item(eventType="", eventId="f")]
    response = await client.post(PATH, json={"events": [*items, item(eventId="f")]}, headers=HEADERS)
    body = await response.json()
    statuses = [result["status"] for result in body["results"]]
    assert statuses == ["accepted", "duplicate", "accepted", "rejected", "accepted"]
    assert (body["accepted"], body["rejected"]) == (4, 1)
    assert len(await spooled(worker)) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"events": []}, 400),
        ([], 400),
        ({}, 400),
        ({"events": None}, 400),
        ({"events": "x"}, 400),
        ({"events": {"0": {}}}, 400),
        (7, 400),
        ({"events": [item()] * 101}, 400),
        ({"events": [item()] * 100}, 202),
    ],
)
async def test_a_batch_has_1_to_100_items(client: Client, body: Any, status: int) -> None:
    response = await client.post(PATH, json=body, headers=HEADERS)
    assert response.status == status
    if status == 400:
        assert (await response.json())["code"] == "VALIDATION_ERROR"


async def test_customers_keep_their_order(client: Client, worker: Worker) -> None:
    for batch in range(3):
        items = [item(f"c{n % 3}", properties={"n": batch * 10 + n}) for n in range(10)]
        assert (await client.post(PATH, json=items, headers=HEADERS)).status == 202
    kept = await spooled(worker)
    for customer in ("c0", "c1", "c2"):
        numbers = [(event.data or {})["n"] for event in kept if event.customer_id == customer]
        assert numbers == sorted(numbers)
        assert len(numbers) >= 9


async def test_what_has_no_room_is_told_by_item_and_a_batch_of_which_nothing_has_is_503(
    tmp_path: Path,
) -> None:
    with running(tmp_path, spool_limit_bytes=1_500) as worker:
        async with worker.client() as client:
            others = (f"c{number}" for number in range(100))
            other = next(name for name in others if worker.number_for(name) != worker.number_for("ann"))
            items = [item("ann", properties={"text": "x" * 1_400}), item(other, eventId="small")]
            response = await client.post(PATH, json=items, headers=HEADERS)
            body = await response.json()
            assert (response.status, body["accepted"], body["rejected"]) == (202, 1, 1)
            refused = body["results"][0]
            assert (refused["status"], refused["code"]) == ("rejected", "NOT_READY")
            assert "nothing was recorded" in refused["error"]
            whole = await client.post(PATH, json=items[:1], headers=HEADERS)
            assert (whole.status, (await whole.json())["code"]) == (503, "NOT_READY")
