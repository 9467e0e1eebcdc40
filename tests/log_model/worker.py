"""A worker process on the model's log: the product's host, fold loop, publisher and decisions, without Faust.

What Faust does is the test's to do: it says which partitions are the worker's and hands over chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.host import Host
from agents.inbox import Chunk
from app.decision.catalogue import CatalogSnapshot
from app.decision.decision import DecisionRequest
from config.metrics import Metrics
from config.settings import Settings
from config.topics import SOURCE_TOPICS
from tables.partition import Partition
from tables.partitions import Partitions
from tables.publisher import Publisher
from tables.scoreboard import Scoreboard
from tables.spool import Spool
from tests.log_model.clients import Network
from tests.log_model.clock import VirtualLoop
from tests.log_model.log import Log
from tests.log_model.shop import APP_ID, PARTITIONS, TENANT, TOPICS
from tests.web.desk import MemoryDesk
from web.deciding import log_decision, make_decision
from web.engine import Engine
from web.errors import ApiError
from web.limits import Limits
from web.quota import Quota
from web.recommend_body import Wanted
from web.routing import lease_customer


@dataclass(frozen=True)
class Answer:
    """A recommendation answered, with so many contacts by push; `logged` unless it was flagged as not."""

    customer: str
    recommendation_id: str
    pushes: int
    logged: bool


class Feed:
    """The consumer of one process: where it reads, and whether its group counts the process as a member."""

    def __init__(self, log: Log, loop: VirtualLoop) -> None:
        self._log = log
        self._loop = loop
        self.member = asyncio.Event()
        self.member.set()
        #: Next offset to hand over, by partition and topic; nothing while a partition is paused.
        self.cursors: dict[int, dict[int, int]] = {}

    async def bounds(self, partition: int) -> Mapping[int, tuple[int, int]]:
        return {topic: (0, self.end(topic, partition)) for topic in range(len(SOURCE_TOPICS))}

    def end(self, topic: int, partition: int) -> int:
        return self._log.at(TOPICS[SOURCE_TOPICS[topic]], partition).end

    def heads(self, partition: int) -> Mapping[int, int]:
        return {}

    def heard_ms(self, partition: int) -> int:
        return self._loop.wall_ms()

    async def resume(self, partition: int, positions: Mapping[int, int]) -> None:
        self.cursors[partition] = dict(positions)

    async def confirmed(self, since_s: float) -> None:
        await self.member.wait()

    def pause(self, partition: int) -> None:
        self.cursors.pop(partition, None)


class Worker:
    """One process. Its disk outlives it."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        log: Log,
        loop: VirtualLoop,
        catalogue: CatalogSnapshot,
        metrics: Metrics,
        origin_id: str,
    ) -> None:
        self.name, self.network, self.origin_id = network.name, network, origin_id
        self.answers: list[Answer] = []
        self._log, self._loop, self._catalogue = log, loop, catalogue
        self._tasks: set[asyncio.Task[None]] = set()
        self._chances = 0
        settings = Settings(broker=network.name, partitions=PARTITIONS, data_dir=folder, app_id=APP_ID)
        self.feed = Feed(log, loop)
        self.partitions = Partitions(PARTITIONS, 0, 1_000, metrics)
        self.publisher = Publisher([network.name], "model", TOPICS, PARTITIONS, 5_000, idempotent=True)
        self.host = Host(
            settings, self.partitions, self.publisher, lambda: catalogue, _at_once, metrics, origin_id
        )
        self.host.source = self.feed
        desk = MemoryDesk(lambda snapshot: None)
        scoreboard = Scoreboard()
        self.engine = Engine(
            settings=settings,
            partitions=self.partitions,
            publisher=self.publisher,
            catalogue=lambda: catalogue,
            catalogue_ready=lambda: True,
            desk=desk,
            audit=desk.audit,
            scoreboard=scoreboard,
            lease_holds=self.feed.member.is_set,
            owners=dict,
            standbys=dict,
            # Never opened: in the model nothing is ingested.
            spool=Spool(folder / "spool", settings.spool_limit_bytes, loop.wall_ms, metrics),
            metrics=metrics,
            origin_id=origin_id,
            clock_ms=loop.wall_ms,
            chance=self._chance,
            limits=Limits(settings, metrics),
            quota=Quota(settings, self.partitions, scoreboard, loop.wall_ms, metrics),
        )
        loop.run(self.publisher.start())

    def _chance(self) -> str:
        self._chances += 1
        return f"{int(self.origin_id):06x}{self._chances:06x}"

    @property
    def alive(self) -> bool:
        return not self.network.dead

    @property
    def confirmed(self) -> bool:
        """Whether it is alive and its group hears it."""
        return self.alive and self.feed.member.is_set()

    def ready(self, number: int) -> Partition | None:
        """The partition, when this process may answer from it."""
        partition = self.partitions.get(number)
        return partition if partition is not None and partition.ready and self.confirmed else None

    async def release(self) -> None:
        """Give up all partitions, as a rebalance begins."""
        self.host.lose()
        await self.host.released()
        self.feed.cursors.clear()

    def take(self, numbers: list[int]) -> None:
        """Own these, as a rebalance ends."""
        self._loop.run(self._take(numbers))

    async def _take(self, numbers: list[int]) -> None:
        self.host.take(numbers, ())
        for partition in self.partitions:
            # Whatever is not pinned leaves the cache at once.
            partition._cache_customers = 0

    async def deliver(self, number: int, topic: int, count: int, skip: int) -> None:
        """Hand over so many records from the cursor on; `skip` of them too many, or below 0 once more."""
        cursors = self.feed.cursors.get(number)
        if cursors is None:
            return
        records = self._log.at(TOPICS[SOURCE_TOPICS[topic]], number).history
        begin = max(cursors[topic] + skip, 0)
        chosen = records[begin : max(cursors[topic], begin) + count]
        if not chosen:
            return
        end = chosen[-1].offset + 1
        cursors[topic] = max(end, cursors[topic])
        size = sum(record.size for record in chosen)
        await self.host.offer(number, Chunk(topic, chosen, begin, end, size, _nothing))

    def recommend(self, customer: str, traced: bool) -> None:
        """Begin a request; what it answers is in `answers` once it does."""
        task = self._loop.create_task(self._recommend(customer, traced))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recommend(self, customer: str, traced: bool) -> None:
        request = DecisionRequest(limit=1, channel_id="push", trace=traced)
        wanted = Wanted(customer, None, "push", None, False, request)
        engine, tenant = self.engine, self._catalogue.tenant(TENANT)
        try:
            lease = lease_customer(engine, TENANT, customer)
            made = make_decision(engine, lease, self._catalogue, TENANT, wanted)
            lacks = await log_decision(engine, lease, made, tenant)
            lease.check()
        except ApiError:
            return
        if self.alive and made.record is not None:
            pushes = len(made.decided.decisions)
            self.answers.append(Answer(customer, made.recommendation_id, pushes, lacks is None))

    def kill(self) -> None:
        """The process ends where it stands; its disk keeps what was written."""
        self.network.dead = True
        for task in [*self._tasks, *(held.task for held in self.host._held.values())]:
            task.cancel()
        self._loop.pass_s(0.001)


async def _at_once() -> None:
    pass


def _nothing() -> None:
    pass
