"""Writing the catalogue from a running worker: one change after the other, each read back before it counts.

Rules of this module:

1.  A change is planned on the tenant's state as it certainly is, by a pure function, in a thread.
2.  It has succeeded once it is durable and this worker's own snapshot has it. A fact changes no catalogue:
    it has once it is durable. So it does not wait for a tenant's catalogue to be readable.
3.  On Kafka a desk keeps its transactional producer. While that is not fenced, nobody else has written, so
    the state as of its last write is the present one. A write by a fenced producer is refused: the desk
    begins anew (which fences the others), reads up to a barrier, plans again and writes. A refusal of a
    plan, and a plan without changes, count only on a state that was read up to a barrier.
4.  Whether a write without an acknowledgement landed is found out the same way: beginning anew ends its
    transaction for good, and what is then read up to a barrier has it, or never will.
5.  The embedded broker has no transactions: there every write reads up to a barrier first, nothing fences
    another process, and a write without an acknowledgement may still land unless it was read.
6.  Every wait is bounded. Whoever waits is counted: past `WAITING_MAX` a change is refused at once.
7.  Only the owner of partition 0 writes; views lease that partition first. Rule 3 holds all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from config.metrics import Metrics
from config.settings import Settings
from tables.audit_actor import Actor
from tables.catalogue_change import Change, Order, change_of, fact_of
from tables.catalogue_commit import CatalogueWriteError
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_session import CatalogueSession, CatalogueSource, Work
from tables.catalogue_topic import CatalogueReadError

#: Changes that may be under way or wait for those before them.
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
        source: this worker's reader of the topic.
        metrics: where changes are counted.
        clock: the present instant, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        source: CatalogueSource,
        metrics: Metrics,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._session = CatalogueSession(settings, source, clock)
        self._timeout_s = settings.publish_timeout_ms / 1000
        # Compiling thousands of offers takes longer than the fold of a record.
        self._seen_s = max(settings.publish_timeout_ms, settings.read_your_writes_timeout_ms) / 1000
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[ImportDiff]] = set()

    async def commit(
        self, tenant_id: str, plan: Plan, actor: Actor, *, request_id: str = "", reason: str = ""
    ) -> ImportDiff:
        """What the change did, once it is durable and this worker's snapshot has it.

        A plan without changes writes nothing; the diff's `version` is None then. A caller that stops waiting
        does not stop the change.

        Args:
            tenant_id: whose catalogue it is.
            plan: what to change; may run several times. What it raises passes through: nothing was written.
            actor: who changes it, for the audit trail and the marker.
            request_id: the request that asks for it, for the audit trail.
            reason: why, in the caller's words, for the audit trail.

        Raises:
            DeskFullError: too many changes wait; nothing was written.
            CatalogueReadError: the present state cannot be read; nothing was written.
            CatalogueTooLargeError: the broker does not take it; nothing was written.
            CatalogueWriteError: not acknowledged; `certain` says that nothing was written.
            DeskUnseenError: written, and not seen here in time.
        """

        def work(current: TenantLog, at: datetime) -> tuple[ImportDiff, Change | None]:
            planned = plan(current, at)
            if not planned.changes:
                return planned.diff, None
            order = Order(actor=actor, at=at, request_id=request_id, reason=reason)
            return planned.diff, change_of(tenant_id, current, planned, order)

        return await self._in_turn(tenant_id, work)

    async def preview(self, tenant_id: str, plan: Plan) -> ImportDiff:
        """What `commit` would do now; raises what it would, and writes and fences nothing."""
        current = await self._session.read(tenant_id)
        return (await asyncio.to_thread(plan, current, self._clock())).diff

    async def record_fact(
        self, tenant_id: str, actor: Actor, action: str, subject: str, *, request_id: str = ""
    ) -> None:
        """Put something into the audit trail that changes no catalogue; returns once it is durable.

        Args:
            action: what happened, as in `customer.erased`.
            subject: what it happened to: an entity's id or a hash, never a customer's id.

        Raises:
            As of `commit`, but for `DeskUnseenError`.
        """

        def work(current: TenantLog, at: datetime) -> tuple[ImportDiff, Change | None]:
            order = Order(actor=actor, at=at, request_id=request_id)
            return ImportDiff(tenant=tenant_id), fact_of(tenant_id, current, action, subject, order)

        await self._in_turn(tenant_id, work, shown=False)

    async def stop(self) -> None:
        """Finish what is under way, then disconnect."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout_s)
        await self._session.stop()

    async def _in_turn(self, tenant_id: str, work: Work, shown: bool = True) -> ImportDiff:
        """What the work did; done by a task of its own, so that it ends in order whoever waits.

        Args:
            tenant_id: whose catalogue it is.
            work: what to write.
            shown: whether it counts only once the snapshot shows it.
        """
        if len(self._tasks) >= WAITING_MAX:
            self._metrics.catalogue_writes_total.labels("full").inc()
            raise DeskFullError(f"{WAITING_MAX} changes of the catalogue wait already")
        task = asyncio.create_task(self._counted(tenant_id, work, shown))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[ImportDiff]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone

    async def _counted(self, tenant_id: str, work: Work, shown: bool) -> ImportDiff:
        started, outcome = time.perf_counter(), "refused"
        try:
            async with asyncio.timeout(self._timeout_s) as waiting, self._turn:
                waiting.reschedule(None)
                diff = await self._session.write(tenant_id, work)
            if shown and diff.version is not None:
                outcome = "unseen"
                await self._seen(diff.version)
            outcome = "unchanged" if diff.version is None else "written"
            return diff
        except TimeoutError as error:
            outcome = "full"
            raise DeskFullError("the changes before this one take too long") from error
        except (CatalogueReadError, CatalogueWriteError):
            outcome = "failed"
            raise
        finally:
            self._metrics.catalogue_writes_total.labels(outcome).inc()
            self._metrics.catalogue_write_seconds.observe(time.perf_counter() - started)

    async def _seen(self, version: int) -> None:
        try:
            async with asyncio.timeout(self._seen_s):
                await self._source.wait_version(version)
        except TimeoutError as error:
            raise DeskUnseenError(f"version {version} is durable and not in use here yet") from error
