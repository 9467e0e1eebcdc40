"""What one partition does across customers while it is held: tell its totals, tend its leases.

Rules:

1.  It begins with the fold and ends with it. It changes no state: what it publishes comes back as records.
2.  Trouble with Kafka is logged and passes; a producer that was fenced, or left a gap, puts the partition in
    doubt, like a decision that failed.
3.  Leases, totals and scores go on by themselves: trouble of one delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError

from agents.leasing import Leasing
from agents.telling import Teller
from app.decision.catalogue import CatalogSnapshot
from config.metrics import Metrics
from tables.partition import Partition
from tables.publisher import Publisher, PublishError

#: Each key's totals are told at most this often; leases are looked at as often, or when one is empty;
#: seconds.
EVERY_S = 0.2

#: After being woken, what else wakes is waited for so long, in seconds.
GATHER_S = 0.01

#: After trouble, the pause is so long, in seconds.
TROUBLE_S = 1.0

log = structlog.get_logger(__name__)


class Sharing:
    """One partition's part in what is counted across customers.

    Args:
        partition: attached to its recovered store.
        partitions: how many there are.
        publisher: this worker's.
        catalogue: the newest snapshot, when called.
        clock_ms: wall clock, epoch milliseconds.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        publisher: Publisher,
        catalogue: Callable[[], CatalogSnapshot],
        clock_ms: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._partition = partition
        self._catalogue = catalogue
        self._clock_ms = clock_ms
        self._teller = Teller(partition, partitions, publisher, metrics, clock_ms)
        self._leasing = Leasing(partition, partitions, publisher, metrics)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tend())
            tasks.create_task(self._repeat("telling owners", self._tell_owners))
            tasks.create_task(self._repeat("telling everybody", self._tell_everybody))

    async def _tend(self) -> None:
        while True:
            woken = self._partition.leases.woken
            woken.clear()
            await self._attempt("leasing", self._tend_leases)
            await _first(woken, EVERY_S)

    async def _tend_leases(self) -> None:
        if self._partition.ready:
            await self._leasing.tend(self._catalogue(), self._clock_ms())

    async def _tell_owners(self) -> None:
        self._partition.counters.tell_decided(self._catalogue().quota_tenants)
        await self._teller.tell_owners()

    async def _tell_everybody(self) -> None:
        await self._teller.tell_everybody(self._catalogue())

    async def _repeat(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(what, step)
            await asyncio.sleep(EVERY_S)

    async def _attempt(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step; after trouble, return only when it may be tried again."""
        try:
            await step()
        except (PublishError, KafkaError, OSError) as error:
            log.warning(
                "sharing across customers waits",
                partition=self._partition.number,
                what=what,
                error=str(error),
            )
            await asyncio.sleep(TROUBLE_S)
        except Exception:
            # A defect here must not leave others without what this partition counts, in silence.
            log.exception("sharing across customers failed", partition=self._partition.number, what=what)
            await asyncio.sleep(TROUBLE_S)


async def _first(woken: asyncio.Event, timeout_s: float) -> None:
    """Return when woken, a moment later, or at the time-out."""
    try:
        await asyncio.wait_for(woken.wait(), max(timeout_s, GATHER_S))
    except TimeoutError:
        return
    await asyncio.sleep(GATHER_S)
