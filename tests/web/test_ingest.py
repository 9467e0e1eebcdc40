"""POST /events/ingest as far as it goes without Kafka."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from app.decision.records import Event, decode_event
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker
from web.ingest import read_event
from web.instants import instant, iso
from web.view import encode

PATH = "/api/v1/events/ingest"
GOOD: dict[str, Any] = {"type": "purchase", "customerId": "ann", "data": {"amount": 3}}


async def test_without_kafka_nothing_was_recorded_and_a_retry_is_invited(
    client: Client, worker: Worker
) -> None:
    response = await client.post(PATH, json=GOOD, headers=HEADERS)
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    body = await response.json()
    assert body["code"] == "NOT_READY"
    assert "nothing was recorded" in body["error"]
    assert sum(len(partition.waiters) for partition in worker.partitions) == 0


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
