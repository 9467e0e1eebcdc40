"""Changing a tenant's catalogue: read what is there, check what would be, write what differs, as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from app.decision.entities import Entity
from app.decision.index import EntityKey
from config.settings import Settings
from tables.audit_actor import cli_actor
from tables.catalogue_change import Order, change_of
from tables.catalogue_commit import begin_commit
from tables.catalogue_document import Entry
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan, plan_import
from tables.catalogue_topic import CatalogueReadError, read_to_now


def _now() -> datetime:
    return datetime.now(UTC)


class CatalogueWriter:
    """Imports and reads tenants' catalogues. The topics must exist.

    Imports of one writer run one after the other; those of several writers fence each other on Kafka.

    Args:
        settings: brokers and application.
        clock: the present instant, UTC.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = _now) -> None:
        self._settings = settings
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def import_tenant(
        self, tenant_id: str, entries: Sequence[Entry], by: str, *, prune: bool = False
    ) -> ImportDiff:
        """What the import changed; the same entities twice write nothing.

        Args:
            tenant_id: whose catalogue it is.
            entries: the entities it shall have, each right by itself; see `read_document`.
            by: who imports, for `createdBy`, the marker and the audit trail.
            prune: delete what is not among them; otherwise it stays.

        Raises:
            CatalogueInvalidError: every problem of the tenant as it would be; nothing was written.
            CatalogueReadError: the present state cannot be read; nothing was written.
            CatalogueConflictError: another import has begun; import again.
            CatalogueWriteError: not acknowledged; import again, it writes only what is missing.
        """
        async with self._one_at_a_time, begin_commit(self._settings) as commit:
            # Only after the writers before us are fenced: what they committed is then all there.
            current = await self._current(tenant_id)
            plan = await self._plan(tenant_id, current, entries, by, prune)
            if not plan.changes:
                return plan.diff
            order = Order(actor=cli_actor(by), at=self._clock())
            change = await asyncio.to_thread(change_of, tenant_id, current, plan, order)
            version = await commit.write(change.catalogue, change.audit)
            return msgspec.structs.replace(plan.diff, version=version)

    async def preview(
        self, tenant_id: str, entries: Sequence[Entry], by: str, *, prune: bool = False
    ) -> ImportDiff:
        """What `import_tenant` would change now; raises what it would, but writes and fences nothing."""
        current = await self._current(tenant_id)
        return (await self._plan(tenant_id, current, entries, by, prune)).diff

    async def read_tenant(self, tenant_id: str) -> Mapping[EntityKey, Entity]:
        """The tenant's entities, everything committed by now included.

        Raises:
            CatalogueReadError: the brokers do not answer, or records cannot be read by this version.
        """
        tenant = await self._current(tenant_id)
        if tenant.problem is not None:
            raise CatalogueReadError(f"the catalogue of {tenant_id} cannot be used: {tenant.problem}")
        return tenant.entities

    async def _plan(
        self, tenant_id: str, current: TenantLog, entries: Sequence[Entry], by: str, prune: bool
    ) -> ImportPlan:
        # A thread: checking thousands of entities takes a second, and a worker has its event loop to serve.
        return await asyncio.to_thread(plan_import, tenant_id, current, entries, by, self._clock(), prune)

    async def _current(self, tenant_id: str) -> TenantLog:
        return (await read_to_now(self._settings)).tenant(tenant_id)
