"""`catalogue`: changes of one offer by a worker's desk, until the worker and until another one has them.

Desk and both readers live in this process, which does nothing else; a worker that serves requests has less
time for them, and a worker of its own compiles beside the other one's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from datetime import datetime

import msgspec
import structlog

from agents.catalogue import CatalogueReader
from app.decision.entities import Entity, Offer
from app.provision import ensure_topics
from config.metrics import new_metrics
from config.settings import Settings
from tables.audit_actor import Actor
from tables.catalogue_desk import CatalogueDesk, Plan
from tables.catalogue_document import read_document
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_writer import CatalogueWriter
from tests.bench.brokers import Running
from tests.bench.catalogues import generated
from tests.bench.latency import COLUMNS, Latencies
from tests.bench.purchases import TENANT
from tests.bench.report import Table

_BENCH = Actor("bench")


def catalogue_write(running: Running, offers: list[int], changes: int) -> Table:
    """For each size of catalogue two rows: to this worker's snapshot (what a caller waits), to another's."""
    table = Table(
        f"Catalogue write: one offer changed, one change after the other; {running.name}",
        ["catalogue", "until", "changes", *[f"{name} ms" for name in COLUMNS]],
    )
    # A line for each snapshot would be most of what is printed.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for count in offers:
        asyncio.run(_rows(table, running, count, changes))
    return table


async def _rows(table: Table, running: Running, offers: int, changes: int) -> None:
    settings = Settings(
        app_id=f"bench-{uuid.uuid4().hex[:8]}",
        broker=running.broker.bootstrap,
        partitions=2,
        idempotent_producer=running.broker.kind == "kafka",
    )
    await ensure_topics(settings)
    catalogue = generated(offers)
    body = json.dumps({"tenant": TENANT, **catalogue.documents}).encode()
    await CatalogueWriter(settings).import_tenant(TENANT, read_document(body).entries, by="bench")
    readers = [CatalogueReader(settings, new_metrics()) for _ in range(2)]
    desk = CatalogueDesk(settings, readers[0], new_metrics())
    for reader in readers:
        await reader.start()
        await reader.wait_ready()
    own, other = Latencies(), Latencies()
    await _change(desk, readers[1], -1, Latencies(), Latencies())  # connects
    for number in range(changes):
        await _change(desk, readers[1], number, own, other)
    await desk.stop()
    for reader in readers:
        await reader.stop()
    table.add(catalogue.name, "this worker has it", own.count, *own.milliseconds())
    table.add(catalogue.name, "another worker has it", other.count, *other.milliseconds())


async def _change(
    desk: CatalogueDesk, reader: CatalogueReader, number: int, own: Latencies, other: Latencies
) -> None:
    started = time.perf_counter_ns()
    diff = await desk.commit(TENANT, _renamed(number), _BENCH)
    own.add(time.perf_counter_ns() - started)
    assert diff.version is not None
    await reader.wait_version(diff.version)
    other.add(time.perf_counter_ns() - started)


def _renamed(number: int) -> Plan:
    """Give one offer another name."""

    def plan(current: TenantLog, now: datetime) -> ImportPlan:
        key = next(key for key, entity in current.entities.items() if isinstance(entity, Offer))
        old = current.entities[key]
        new: Entity = msgspec.structs.replace(
            old, name=f"Name {number}", version=old.version + 1, updated_at=now
        )
        return ImportPlan({key: new}, len(current.entities), ImportDiff(tenant=TENANT, updated=(key,)))

    return plan
