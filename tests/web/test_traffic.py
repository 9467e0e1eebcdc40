"""Bodies that arrive slowly: each tenant has its part of the places, and nobody else's are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web.harness import HEADERS, Client, Worker, running
from tests.web.raw import PATIENCE_S
from tests.worker.harness import eventually
from web.errors import ApiError
from web.traffic import Places, Traffic

INGEST = "/api/v1/events/ingest"
IN_FLIGHT = 8
OTHER = {"X-Tenant-Id": "other"}


async def status_of(client: Client, body: object, headers: dict[str, str]) -> tuple[int, str]:
    headers = {**headers, "Content-Type": "application/json"}
    response = await client.post(INGEST, data=body, headers=headers)
    return response.status, (await response.json())["code"]


async def until_arriving(worker: Worker, client: Client, bodies: int) -> None:
    async def arriving() -> bool:
        assert (await client.get("/metrics")).status == 200
        return bool(worker.metrics.http_bodies_arriving._value.get() == bodies)

    await eventually(arriving, PATIENCE_S, f"{bodies} bodies arrive", 0.01)


async def test_a_tenants_slow_bodies_take_no_other_tenants_places(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await go.wait()
        yield b"}"

    with running(tmp_path, max_in_flight=IN_FLIGHT) as worker:
        async with worker.client() as client:
            held = [asyncio.create_task(status_of(client, slow(), HEADERS)) for _ in range(IN_FLIGHT // 4)]
            await until_arriving(worker, client, IN_FLIGHT // 4)
            # Only the operator who asks is in flight.
            assert worker.metrics.http_in_flight._value.get() == 1
            assert await status_of(client, slow(), HEADERS) == (503, "OVERLOADED")
            assert worker.metrics.http_overloaded_total._value.get() == 1
            # What came with its head needs none of these places; another tenant has its own.
            assert await status_of(client, b"{}", HEADERS) == (400, "VALIDATION_ERROR")
            held.append(asyncio.create_task(status_of(client, slow(), OTHER)))
            await until_arriving(worker, client, IN_FLIGHT // 4 + 1)
            go.set()
            assert await asyncio.gather(*held) == [(400, "VALIDATION_ERROR")] * len(held)
            await until_arriving(worker, client, 0)
            assert await status_of(client, slow(), HEADERS) == (400, "VALIDATION_ERROR")


def test_a_body_that_is_there_needs_a_place_in_flight() -> None:
    traffic = Traffic(4)
    traffic.in_flight = 4

    def wait() -> None:
        with traffic.arriving("a"):
            assert traffic.in_flight == 3
            traffic.in_flight += 2

    with pytest.raises(ApiError, match="Too many"):
        wait()
    assert (traffic.in_flight, traffic.bodies.total) == (6, 0)


def test_a_request_that_fails_while_it_waits_gives_all_back() -> None:
    traffic = Traffic(4)
    traffic.in_flight = 1
    with pytest.raises(ZeroDivisionError), traffic.arriving("a"):
        raise ZeroDivisionError
    assert (traffic.in_flight, traffic.bodies.total) == (1, 0)
    with traffic.arriving("a"):
        assert traffic.bodies.total == 1


def test_all_tenants_together_have_no_more_than_all_places() -> None:
    places = Places(2, 3)
    with places.one("a"), places.one("a"), places.one("b"):
        for tenant in ("a", "b", "c"):
            with pytest.raises(ApiError), places.one(tenant):
                raise AssertionError("there was room")
    with places.one("c"):
        assert places.total == 1
