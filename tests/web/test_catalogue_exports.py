"""How many exports a worker writes at once, and what becomes of those that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import web.exporting
from app.decision.catalogue import CatalogSnapshot
from tests.web.harness import HEADERS, Client, Worker
from tests.web.test_catalogue_documents import EXPORT, send
from web.catalogue_documents import EXPORTS_MAX
from web.exporting import Exports, ExportsFullError, ExportUnreadError

TENANTS = [f"t{number}" for number in range(EXPORTS_MAX)]


class Gate:
    """Where exports stop until they are let go. `begun` counts those that are there."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)

    def document_of(self, tenant_id: str, entities: Any) -> dict[str, Any]:
        self.begun.release()
        self.open.wait()
        return {"tenant": tenant_id}

    async def arrived(self) -> None:
        async with asyncio.timeout(20):
            while not self.begun.acquire(blocking=False):  # noqa: ASYNC110  # a thread's
                await asyncio.sleep(0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    held = Gate()
    monkeypatch.setattr(web.exporting, "document_of", held.document_of)
    yield held
    held.open.set()


async def export(client: Client, tenant: str) -> tuple[int, Any]:
    headers = {**HEADERS, "X-Tenant-Id": tenant}
    async with asyncio.timeout(20), client.get(EXPORT, headers=headers) as response:
        return response.status, await response.json()


@asynccontextmanager
async def exporting(client: Client, gate: Gate, tenants: list[str]) -> AsyncIterator[None]:
    """An export of each tenant under way; afterwards they all succeed."""
    under_way = [asyncio.create_task(export(client, tenant)) for tenant in tenants]
    for _ in tenants:
        await gate.arrived()
    yield
    gate.open.set()
    for tenant, answer in zip(tenants, await asyncio.gather(*under_way), strict=True):
        assert answer == (200, {"tenant": tenant})


async def test_a_tenant_exports_once_at_a_time(client: Client, gate: Gate) -> None:
    async with exporting(client, gate, ["shop"]):
        status, answer = await export(client, "shop")
        assert (status, answer["code"]) == (503, "OVERLOADED")
    assert (await export(client, "shop"))[0] == 200


async def test_only_so_many_exports_are_written_at_once(client: Client, worker: Worker, gate: Gate) -> None:
    async with exporting(client, gate, TENANTS):
        status, answer = await export(client, "another")
        assert (status, answer["code"]) == (503, "OVERLOADED")
        assert worker.metrics.http_overloaded_total._value.get() == 1
        # The rest of the worker goes on: an import, the trail, other tenants.
        assert (await send(client, {"categories": [{"id": "a", "name": "A"}]}))[0] == 200
        async with client.get("/api/v1/audit", headers=HEADERS) as response:
            assert response.status == 200
    assert (await export(client, "another"))[0] == 200


async def test_a_place_is_taken_until_the_writing_ends_whoever_waits(gate: Gate) -> None:
    exports, entities = Exports(1), CatalogSnapshot().tenant("a").entities
    waiting = asyncio.create_task(exports.text("a", entities, False, lambda: False))
    await gate.arrived()
    waiting.cancel()
    await asyncio.wait([waiting])
    with pytest.raises(ExportsFullError):
        await exports.text("b", entities, False, lambda: False)
    gate.open.set()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await exports.text("b", entities, False, lambda: False)
                break
            except ExportsFullError:
                await asyncio.sleep(0)


@pytest.mark.parametrize("as_yaml", [True, False])
async def test_an_export_that_nobody_waits_for_is_not_finished(
    monkeypatch: pytest.MonkeyPatch, as_yaml: bool
) -> None:
    written = 0

    def parts(document: object) -> Iterator[str]:
        nonlocal written
        for _ in range(1_000_000):
            written += 1
            yield "x"

    monkeypatch.setattr(web.exporting, "yaml_parts" if as_yaml else "json_parts", parts)
    asked = iter([False, False, False, True])
    with pytest.raises(ExportUnreadError):
        await Exports(1).text("a", {}, as_yaml, lambda: next(asked))
    assert 1 < written < 1_000


async def test_the_export_of_a_client_that_left_ends(client: Client, worker: Worker, gate: Gate) -> None:
    leaving = asyncio.create_task(export(client, "shop"))
    await gate.arrived()
    leaving.cancel()
    await asyncio.wait([leaving])
    await client.session.close()
    counted = worker.metrics.http_requests_total.labels(EXPORT, "GET", "499")
    gate.open.set()
    async with asyncio.timeout(20):
        while not counted._value.get():  # noqa: ASYNC110  # a counter has no event
            await asyncio.sleep(0.01)
