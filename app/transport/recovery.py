"""Faust's table manager with recovery partition by partition.

Faust recovers all tables of a worker together, one record at a time, swallowing what goes wrong. Here a
rebalance only says which partitions are this worker's; the host takes each by itself, so that one is ready
as soon as it can be and a failed one recovers alone.
"""

from __future__ import annotations

from typing import Protocol, cast

import faust
import structlog
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

log = structlog.get_logger(__name__)


class Owner(Protocol):
    """Who takes and loses partitions, and keeps copies of others."""

    def take(self, numbers: set[int], standbys: set[int]) -> None: ...

    def lose(self) -> None: ...

    async def released(self) -> None: ...

    async def stop(self) -> None: ...


class PartitionRecovery(Recovery):
    """Turns rebalances into takings and losings."""

    mundane_level = "debug"

    owner: Owner

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.owner.lose()

    async def on_rebalance(
        self,
        assigned: set[TP],
        revoked: set[TP],
        newly_assigned: set[TP],
        generation_id: int = 0,
    ) -> None:
        if generation_id == self.app.consumer_generation_id:
            self._generation_id = generation_id
            self.signal_recovery_start.set()

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):  # type: ignore[arg-type]
                return
            self.signal_recovery_start.clear()
            self.owner.lose()
            await self.owner.released()
            if self.signal_recovery_start.is_set():
                continue
            await self._resume()

    async def _resume(self) -> None:
        app, tables = self.app, self.tables
        actives, standbys = (
            {tp.partition for tp in assigned if tp.topic in tables.changelog_topics}
            for assigned in (app.assignor.assigned_actives(), app.assignor.assigned_standbys())
        )
        log.info(
            "partitions assigned",
            partitions=sorted(actives),
            standbys=sorted(standbys),
            generation=self._generation_id,
        )
        await app.on_rebalance_complete.send()
        # Every partition is paused still; the owner resumes each when its state stands.
        app.flow_control.resume()
        app.consumer.resume_flow()
        await cast(faust.App, app)._fetcher.maybe_start()
        app.on_rebalance_end()
        self.completed.set()
        tables.on_actives_ready()
        tables.on_standbys_ready()
        self.owner.take(actives, standbys - actives)

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing: changelogs are read by the owner's own reader."""

    @Service.task
    async def _publish_stats(self) -> None:
        """Nothing: a partition says how far it is in /ready."""

    def flush_buffers(self) -> None:
        """Nothing is buffered."""

    async def on_stop(self) -> None:
        self.owner.lose()
        await self.owner.released()
        await self.owner.stop()


def table_manager(owner: Owner) -> type[TableManager]:
    """A table manager whose recovery belongs to `owner`."""

    class PartitionTableManager(TableManager):
        mundane_level = "debug"

        @property
        def recovery(self) -> Recovery:
            if self._recovery is None:
                recovery = PartitionRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
                recovery.owner = owner
                self._recovery = recovery
            return self._recovery

    return PartitionTableManager
