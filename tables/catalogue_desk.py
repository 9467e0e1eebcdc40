"""Writing the catalogue from a running worker: one change after the other, each read back before it counts.

Rules of this module:

1.  A change is planned on the tenant's state as it certainly is, by a pure function, in a thread.
2.  It has succeeded once it is durable and this worker's own snapshot has it.
3.  Only the owner of partition 0 writes; views lease that partition first. Should two workers write all the
    same, Kafka fences one of them: it begins anew on what the other has written.
4.  Whoever waits is counted: past `WAITING_MAX` a change is refused at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from config.settings import Settings
from tables.audit_actor import Actor
from tables.catalogue_commit import begin_commit
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_topic import read_to_now
from tables.catalogue_writer import records_of

#: Changes that may wait for those before them.
WAITING_MAX = 100

#: What a change is, given the tenant as it is and the instant of the change (UTC). Pure; may raise a refusal.
Plan = Callable[[TenantLog, datetime], ImportPlan]


class DeskFullError(Exception):
    """Too many changes wait: nothing was done. External, retryable."""


class DeskUnseenError(Exception):
    """The change is durable, and this worker's snapshot did not show it in time. External."""


class Desk(Protocol):
    """What views change catalogues with; see `CatalogueDesk`."""

    async def commit(
        self, tenant_id: str, plan: Plan, actor: Actor, *, request_id: str = "", reason: str = ""
    ) -> ImportDiff: ...

    async def preview(self, tenant_id: str, plan: Plan) -> ImportDiff: ...

    async def record_fact(
        self, tenant_id: str, actor: Actor, action: str, subject: str, *, request_id: str = ""
    ) -> None: ...


def _now() -> datetime:
    return datetime.now(UTC)


class CatalogueDesk:
    """Where a worker changes tenants' catalogues.

    Args:
        settings: brokers and application.
        wait_version: returns once this worker's snapshot has that version or a later one.
        clock: the present instant, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        wait_version: Callable[[int], Awaitable[None]],
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._settings = settings
        self._wait_version = wait_version
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def commit(
        self, tenant_id: str, plan: Plan, actor: Actor, *, request_id: str = "", reason: str = ""
    ) -> ImportDiff:
        """What the change did, once it is durable and this worker's snapshot has it.

        A plan without changes writes nothing; the diff's `version` is None then.

        Args:
            tenant_id: whose catalogue it is.
            plan: what to change; what it raises passes through, and nothing was written then.
            actor: who changes it, for the audit trail and `by`.
            request_id: the request that asks for it, for the audit trail.
            reason: why, in the caller's words, for the audit trail.

        Raises:
            DeskFullError: too many changes wait; nothing was written.
            CatalogueReadError: the present state cannot be read; nothing was written.
            CatalogueWriteError: not acknowledged; `certain` says that nothing was written.
            DeskUnseenError: written, and not seen here in time.
        """
        if self._waiting >= WAITING_MAX:
            raise DeskFullError
        self._waiting += 1
        try:
            async with self._turn:
                return await self._commit(tenant_id, plan, actor)
        finally:
            self._waiting -= 1

    async def preview(self, tenant_id: str, plan: Plan) -> ImportDiff:
        """What `commit` would do now; raises what it would, and writes nothing."""
        current = (await read_to_now(self._settings)).tenant(tenant_id)
        return (await asyncio.to_thread(plan, current, self._clock())).diff

    async def record_fact(
        self, tenant_id: str, actor: Actor, action: str, subject: str, *, request_id: str = ""
    ) -> None:
        """Put something into the audit trail that changes no catalogue; returns once it is durable.

        Args:
            action: what happened, as in `customer.erased`.
            subject: what it happened to: an entity's id or a hash, never a customer's id.
        """

    async def _commit(self, tenant_id: str, plan: Plan, actor: Actor) -> ImportDiff:
        async with begin_commit(self._settings) as commit:
            current = (await read_to_now(self._settings)).tenant(tenant_id)
            at = self._clock()
            planned = await asyncio.to_thread(plan, current, at)
            if not planned.changes:
                return planned.diff
            by = actor.name or actor.id
            records = await asyncio.to_thread(records_of, tenant_id, current, planned, by, at)
            version = await commit.write(records)
        try:
            async with asyncio.timeout(self._settings.read_your_writes_timeout_ms / 1000):
                await self._wait_version(version)
        except TimeoutError as error:
            raise DeskUnseenError(f"version {version} is written and not seen here yet") from error
        return msgspec.structs.replace(planned.diff, version=version)
