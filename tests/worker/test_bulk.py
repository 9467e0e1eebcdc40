"""Bulk loads into a whole worker, and a suppression that is lifted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from tests.kafka.broker import Broker
from tests.worker.harness import Client, eventually, running, settings_for
from tests.worker.shop import DOCUMENT, TENANT, import_shop

RESTING = {
    "id": "resting",
    "name": "A day of rest after a dismissal",
    "kind": "outcome_based",
    "config": {"outcomes": ["dismiss"], "lookbackMs": 86_400_000},
}
BULK = "/api/v1/customers/bulk"
HEADERS = {"X-Tenant-Id": TENANT, "Content-Type": "application/x-ndjson"}


def lines(bodies: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


async def load(url: str, body: Any) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + BULK, data=body, headers=HEADERS) as response,
    ):
        return response.status, await response.json()


async def attributes(client: Client, customer_id: str) -> Any:
    status, body = await client.get(f"/api/v1/customers/{customer_id}")
    return body["attributes"] if status == 200 else None


async def folded(client: Client, customer_id: str, expected: Mapping[str, Any]) -> None:
    """Wait until a customer has these attributes."""

    async def is_so() -> bool:
        return bool(await attributes(client, customer_id) == expected)

    await eventually(is_so, 20, f"{customer_id} has {expected}")


async def test_a_bulk_load_is_folded_in_order(broker: Broker, app_id: str, tmp_path: Path) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings, **{"contact-policies": [*DOCUMENT["contact-policies"], RESTING]})
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        await _all_lines_are_folded_in_order(settings.worker_url, client)
        await _bad_lines_stop_no_other(settings.worker_url, client)
        await _loads_of_the_same_customers_at_once_end_alike(settings.worker_url, client)
        await _a_body_that_breaks_off_counts_up_to_there(settings.worker_url, client)
        await _a_suppression_is_lifted(client)


async def _all_lines_are_folded_in_order(url: str, client: Client) -> None:
    """3,000 lines of 100 customers: more than one chunk for each of them."""
    bodies = [
        {"customerId": f"c{n % 100}", "attributes": {"n": n, f"k{n // 1_000}": n}} for n in range(3_000)
    ]
    status, answer = await load(url, lines(bodies))
    assert (status, answer["accepted"], answer["retry"]) == (202, 3_000, 0), answer.get("error")
    assert [one["line"] for one in answer["results"]] == list(range(1, 3_001))
    assert answer["results"][0] == {"line": 1, "customerId": "c0", "status": "accepted"}
    for n in range(100):
        last = 2_900 + n
        expected = {"n": last, "k0": last - 2_000, "k1": last - 1_000, "k2": last}
        await folded(client, f"c{n}", expected)


async def _bad_lines_stop_no_other(url: str, client: Client) -> None:
    body = b'{"customerId": "ann", "attributes": {"a": 1}}\n{\n\n[]\n{"customerId": "bob", "tags": 7}\n'
    body += b"x" * 300_000 + b'\n{"customerId": "eve", "attributes": {"e": 1}}'
    status, answer = await load(url, body)
    assert (status, answer["accepted"], answer["rejected"]) == (202, 2, 4)
    assert [(one["line"], one["status"]) for one in answer["results"]] == [
        (1, "accepted"),
        (2, "rejected"),
        (4, "rejected"),
        (5, "rejected"),
        (6, "rejected"),
        (7, "accepted"),
    ]
    await folded(client, "ann", {"a": 1})
    await folded(client, "eve", {"e": 1})
    assert await attributes(client, "bob") is None


async def _loads_of_the_same_customers_at_once_end_alike(url: str, client: Client) -> None:
    """Each load writes its own name and then that it is done: whose write is last has both."""

    def of(name: str) -> list[dict[str, Any]]:
        first = [{"customerId": f"d{n}", "attributes": {"by": name, "done": False}} for n in range(50)]
        return first + [{"customerId": f"d{n}", "attributes": {f"done-{name}": True}} for n in range(50)]

    names = ("x", "y", "z")
    answers = await asyncio.gather(*(load(url, lines(of(name))) for name in names))
    assert [(status, answer["accepted"]) for status, answer in answers] == [(202, 100)] * 3
    await asyncio.gather(*(_has_all(client, f"d{n}", names) for n in range(50)))


async def _has_all(client: Client, customer_id: str, names: tuple[str, ...]) -> None:
    async def is_so() -> bool:
        found = await attributes(client, customer_id) or {}
        return found.get("by") in names and all(found.get(f"done-{name}") for name in names)

    await eventually(is_so, 20, f"{customer_id} has what every load wrote")


async def _a_body_that_breaks_off_counts_up_to_there(url: str, client: Client) -> None:
    sent = asyncio.Event()

    async def breaking() -> AsyncIterator[bytes]:
        for n in range(600):
            yield lines([{"customerId": f"e{n}", "attributes": {"n": n}}])
        yield b'{"customerId": "cut", "attributes": {"n":'
        sent.set()
        await asyncio.Event().wait()

    loading = asyncio.create_task(load(url, breaking()))
    await sent.wait()
    # A whole chunk is on Kafka before the body ends; what ends it then must not take it back.
    await folded(client, "e0", {"n": 0})
    loading.cancel()
    await asyncio.wait([loading])
    await folded(client, "e599", {"n": 599})
    assert await attributes(client, "cut") is None


async def _a_suppression_is_lifted(client: Client) -> None:
    dismissed = {"customerId": "sue", "creativeId": "web-1", "outcome": "dismiss", "idempotencyKey": "d1"}
    status, _ = await client.post("/api/v1/respond", dismissed)
    assert status == 201
    _, state = await client.get("/api/v1/customers/sue")
    (interaction,) = state["recentInteractions"]
    assert (interaction["outcome"], interaction["creativeId"]) == ("dismiss", "web-1")
    (suppression,) = state["suppressions"]
    assert (suppression["outcome"], suppression["policyId"]) == ("dismiss", "resting")
    path = f"/api/v1/customers/sue/suppressions/{suppression['id']}"
    answers = await asyncio.gather(*(client.call("DELETE", path) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [204, 404, 404, 404, 404]
    _, state = await client.get("/api/v1/customers/sue")
    assert state["suppressions"] == []
    assert (await client.call("DELETE", path))[0] == 404
