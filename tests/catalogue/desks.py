"""Desks with readers of their own, as two workers have them, and plans for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from agents.catalogue import CatalogueReader
from app.decision.entities import Category, Entity
from app.decision.index import EntityKey
from config.metrics import new_metrics
from config.settings import Settings
from tables.audit_actor import Actor
from tables.audit_topic import AuditTrail, read_audit
from tables.catalogue_desk import CatalogueDesk, Plan
from tables.catalogue_document import plain_entity
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_topic import read_to_now
from tests.catalogue.building import ready

ANNA = Actor("key_1", "Anna")


class RefusedError(Exception):
    """A plan's own refusal; says what the plan saw."""


@asynccontextmanager
async def desk_of(settings: Settings) -> AsyncIterator[tuple[CatalogueDesk, CatalogueReader]]:
    """A worker's desk and reader, ready."""
    metrics = new_metrics()
    reader = CatalogueReader(settings, metrics)
    desk = CatalogueDesk(settings, reader, metrics)
    await reader.start()
    try:
        await ready(reader)
        yield desk, reader
    finally:
        await desk.stop()
        await reader.stop()


def put(entity_id: str, name: str) -> Plan:
    """Make a category say this; one that says it already is no change."""

    def plan(current: TenantLog, now: datetime) -> ImportPlan:
        key = ("categories", entity_id)
        old = current.entities.get(key)
        if old is not None and old.name == name:
            return _plan(current, {})
        version = 1 if old is None else old.version + 1
        return _plan(current, {key: Category(id=entity_id, name=name, version=version, updated_at=now)})

    return plan


def add_one(entity_id: str) -> Plan:
    """Count in a category's name: a lost update shows."""

    def plan(current: TenantLog, now: datetime) -> ImportPlan:
        old = current.entities.get(("categories", entity_id))
        count = 0 if old is None else int(old.name)
        return put(entity_id, str(count + 1))(current, now)

    return plan


def delete(entity_id: str) -> Plan:
    """Take a category away; refused when there is none."""

    def plan(current: TenantLog, now: datetime) -> ImportPlan:
        if ("categories", entity_id) not in current.entities:
            raise RefusedError(f"no {entity_id}")
        return _plan(current, {("categories", entity_id): None})

    return plan


def expect(entity_id: str, version: int, name: str) -> Plan:
    """As `put`, refused unless the category has this version."""

    def plan(current: TenantLog, now: datetime) -> ImportPlan:
        old = current.entities.get(("categories", entity_id))
        found = 0 if old is None else old.version
        if found != version:
            raise RefusedError(f"it has version {found}")
        return put(entity_id, name)(current, now)

    return plan


async def at_once(*changes: object) -> list[object]:
    """What each of the changes did or failed with."""
    return list(await asyncio.gather(*changes, return_exceptions=True))  # type: ignore[call-overload]


def _plan(current: TenantLog, changes: dict[EntityKey, Entity | None]) -> ImportPlan:
    after = {key: entity for key, entity in (dict(current.entities) | changes).items() if entity is not None}
    diff = ImportDiff(tenant="demo", updated=tuple(changes))
    return ImportPlan(changes, len(after), msgspec.structs.replace(diff))


async def audited(settings: Settings) -> AuditTrail:
    """The trail, once it is whole and tells exactly how every tenant came to be what it is."""
    log, trail = await read_to_now(settings), await read_audit(settings)
    assert (log.problems(), trail.problem) == (None, None)
    told: dict[tuple[str, EntityKey], object] = {}
    for entry in trail.entries:
        place = entry["tenant"], (entry["kind"], entry["id"])
        assert told.get(place) == (entry["versionBefore"], entry["before"]) or entry["before"] is None
        told[place] = entry["versionAfter"], entry["after"]
    for tenant_id, tenant in log.tenants.items():
        assert trail.chains[tenant_id].head == tenant.audit_head
        for key, entity in tenant.entities.items():
            assert told.pop((tenant_id, key)) == (entity.version, plain_entity(entity))
    assert all(state == (None, None) for state in told.values())  # deleted, or a fact
    return trail
