"""Records that outside producers write to Kafka, with the documented names, folded by a live worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from config.topics import EVENTS, PROFILES, RESPONSES, topic_names
from tests.contract.bank import PLATINUM_EMAIL, TENANT
from tests.contract.service import Service

Records = Sequence[tuple[str, str, dict[str, Any]]]


def produce(service: Service, records: Records) -> None:
    """Write records: topic, customer, and what they say beside tenant and customer."""

    async def send() -> None:
        settings = service.worker.settings
        names = topic_names(settings.app_id)
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, enable_idempotence=False)
        await producer.start()
        try:
            for topic, customer, body in records:
                value = json.dumps({"tenantId": TENANT, "customerId": customer, **body}).encode()
                await producer.send_and_wait(names[topic], value, f"{TENANT}:{customer}".encode())
        finally:
            await producer.stop()

    asyncio.run(send())


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def known(service: Service, customer: str) -> bool:
    return service.call("GET", f"/api/v1/customers/{customer}").status == 200


def dead_letters(service: Service) -> float:
    lines = service.ok("GET", "/metrics", role=None).splitlines()
    return sum(
        float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith("offertide_dead_letters_total")
    )


def test_documented_names_are_folded(service: Service) -> None:
    response = {"creativeId": PLATINUM_EMAIL, "interactionType": "click", "idempotencyKey": "k"}
    produce(
        service,
        [
            (EVENTS, "record-1", {"type": "anything", "data": {"a": 1}, "eventId": "e1"}),
            (EVENTS, "record-2", {"eventType": "anything", "properties": {"a": 1}, "sessionId": "s"}),
            (RESPONSES, "record-3", response),
            (RESPONSES, "record-4", {"creativeId": PLATINUM_EMAIL, "outcomeType": "click"}),
            (PROFILES, "record-5", {"attributes": {"a": 1}, "tags": ["x"]}),
        ],
    )
    for number in range(1, 6):
        name = f"record-{number}"
        until(f"{name} is known", lambda name=name: known(service, name))  # type: ignore[misc]
    # The key counts on both ways.
    got = service.call("POST", "/api/v1/respond", {"customerId": "record-3", **response})
    assert (got.status, got.body["status"]) == (200, "duplicate")
    shown = service.ok("GET", "/api/v1/customers/record-5")
    assert (shown["attributes"], shown["tags"]) == ({"a": 1}, ["x"])


def test_what_is_too_far_ahead_or_wrong_is_a_dead_letter(service: Service) -> None:
    before = dead_letters(service)
    now = datetime.now(UTC)
    late, near = (now + timedelta(hours=25)).isoformat(), (now + timedelta(hours=23)).isoformat()
    produce(
        service,
        [
            (EVENTS, "refused", {"type": "a", "timestamp": late}),
            (EVENTS, "refused", {"type": "a", "eventType": "b"}),
            (
                RESPONSES,
                "refused",
                {"creativeId": PLATINUM_EMAIL, "outcome": "sneeze", "idempotencyKey": "k"},
            ),
            (PROFILES, "refused", {"tags": 7}),
            (EVENTS, "taken", {"type": "a", "timestamp": near}),
        ],
    )
    until("four dead letters", lambda: dead_letters(service) == before + 4)
    until("what is near counts", lambda: known(service, "taken"))
    assert not known(service, "refused")
