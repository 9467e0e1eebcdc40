"""A worker of which a Kafka client has ended goes on with another, or ends; it never goes on half-dead."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.embedded import EmbeddedBroker
from config.settings import Settings
from tests.kafka.broker import Broker
from tests.kafka.ending import ending_environment
from tests.worker.harness import Client, WorkerProcess, eventually, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(120)]

#: Faust's client.
GROUP = "faust"


@pytest.fixture
async def settings(embedded_broker: EmbeddedBroker, app_id: str, tmp_path: Path) -> Settings:
    settings = settings_for(Broker(embedded_broker.bootstrap, "embedded"), app_id, tmp_path)
    await import_shop(settings)
    return settings


@pytest.mark.parametrize(
    "kind", ["JoinGroup", "FindCoordinator", "Heartbeat", "OffsetFetch", "Fetch", "Metadata"]
)
async def test_without_the_groups_consumer_the_worker_ends(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    """A supervisor starts it again."""
    environment, ending = ending_environment(tmp_path)
    worker = WorkerProcess(settings, environment=environment)
    if kind != "Heartbeat":
        ending.of(kind, GROUP)
    with worker:
        if kind == "Heartbeat":
            async with Client(worker.url, TENANT) as client:
                await client.ready()
            ending.of(kind, GROUP)
        await ending.done()
        assert await asyncio.to_thread(worker.wait, 40) == 1
    assert worker.log.read_text().count("the worker with it") <= 1


async def test_a_changed_catalogue_arrives_all_the_same(settings: Settings, tmp_path: Path) -> None:
    environment, ending = ending_environment(tmp_path)
    with WorkerProcess(settings, environment=environment) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            ending.of("Fetch", f"{settings.app_id}-catalog")
            await ending.done()
            await import_shop(settings, categories=[{"id": "music", "name": "Renamed"}])

            async def renamed() -> bool:
                status, category = await client.get("/api/v1/categories/music")
                return status == 200 and category["name"] == "Renamed"

            await eventually(renamed, 30, "the category's new name")
            await client.ready()


async def test_writes_are_taken_all_the_same(settings: Settings, tmp_path: Path) -> None:
    environment, ending = ending_environment(tmp_path)
    with WorkerProcess(settings, environment=environment) as worker:
        async with Client(worker.url, TENANT) as client:
            await client.ready()
            ending.of("Produce", settings.app_id)

            async def kept() -> bool:
                body = {"type": "purchase", "customerId": "C1"}
                status, answer = await client.post("/api/v1/events/ingest", body)
                assert status == 200, answer
                return ending.happened and answer.get("streamId") is not None

            await eventually(kept, 30, "an event is on Kafka, not in the spool")
            status, answer = await client.call("PUT", "/api/v1/customers/C2", {"attributes": {"a": 1}})
            assert status in (200, 201), answer
