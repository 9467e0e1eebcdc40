"""Documents, entries and settings for tests of the catalogue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents.catalogue import CatalogueReader
from app.decision.catalogue import CatalogSnapshot
from app.provision import ensure_topics
from config.metrics import new_metrics
from config.settings import Settings
from config.topics import AUDIT, CATALOG
from tables.catalogue_document import Entry, read_document
from tests.kafka.broker import Broker

WAIT_S = 20.0


def settings_for(broker: Broker, app_id: str, partitions: int = 2, **more: Any) -> Settings:
    """Settings of an application of this test's own."""
    return Settings(
        app_id=app_id,
        broker=broker.bootstrap,
        partitions=partitions,
        idempotent_producer=broker.kind == "kafka",
        **more,
    )


async def with_topic(settings: Settings) -> Settings:
    """The settings, once the catalogue's topic exists."""
    await ensure_topics(settings, only=[CATALOG, AUDIT])
    return settings


def shop(offers: int, name: str = "Offer") -> tuple[Entry, ...]:
    """A category and so many offers, each called `name` and a number."""
    return entries_of(
        {
            "categories": [{"id": "music", "name": "Music"}],
            "offers": [
                {"id": f"offer-{n:04}", "name": f"{name} {n}", "categoryId": "music"} for n in range(offers)
            ],
        }
    )


def entries_of(document: dict[str, object]) -> tuple[Entry, ...]:
    """The entities of a document that is right."""
    return read_document(json.dumps(document).encode()).entries


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[CatalogueReader]:
    """A started reader."""
    reader = CatalogueReader(settings, new_metrics())
    await reader.start()
    try:
        yield reader
    finally:
        await reader.stop()


async def ready(reader: CatalogueReader) -> None:
    """Wait until the reader is ready."""
    async with asyncio.timeout(WAIT_S):
        await reader.wait_ready()


async def at_version(reader: CatalogueReader, version: int | None) -> CatalogSnapshot:
    """The reader's snapshot once it has this version or a later one."""
    assert version is not None
    async with asyncio.timeout(WAIT_S):
        await reader.wait_version(version)
    return reader.snapshot


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, for a bounded time."""
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110  # what it looks at has no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def observing(reader: CatalogueReader) -> AsyncIterator[list[CatalogSnapshot]]:
    """Every snapshot that the reader has, in order, looked at in each round of the event loop."""
    seen = [reader.snapshot]

    async def look() -> None:
        while True:
            if reader.snapshot is not seen[-1]:
                seen.append(reader.snapshot)
            await asyncio.sleep(0)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])
