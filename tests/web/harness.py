"""A worker's web server without a broker: real partitions and stores, and a producer that is not started."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, cast

import faust
from aiohttp.test_utils import TestClient, TestServer

from app.decision.catalogue import CatalogSnapshot
from app.decision.validation import load_entity
from config.metrics import new_metrics
from config.settings import Settings
from config.topics import topic_names
from tables.layout import customer_key
from tables.partition import Partition, Phase
from tables.partitions import Partitions
from tables.publisher import Publisher
from tables.routing import partition_of
from tables.scoreboard import Scoreboard
from tables.spool import Spool
from tables.standby import Standby
from tables.store import PartitionStore, StoreMemory
from tests.openapi.checking import CheckingClient
from tests.web.desk import MemoryDesk
from web.driver import BoundedWeb
from web.engine import Engine
from web.limits import Limits
from web.quota import Quota
from web.routes import mount
from web.server import BoundedRunner

Client = TestClient[Any, Any]

TENANT = "shop"
NOW_MS = 1_800_000_000_000
PARTITIONS = 4
HEADERS = {"X-Tenant-Id": TENANT}

ENTITIES: dict[str, Sequence[Mapping[str, Any]]] = {
    "categories": [{"id": "cat", "name": "Music"}],
    "channels": [
        {"id": "web", "name": "Web", "type": "web"},
        {"id": "push", "key": "ping", "name": "Push", "type": "push", "impressionTracking": "implicit"},
    ],
    "placements": [{"id": "hero", "name": "Hero", "channelId": "web", "maxSlots": 5}],
    "offers": [
        {"id": "vinyl", "name": "Vinyl", "categoryId": "cat", "priority": 90},
        {"id": "tape", "name": "Tape", "categoryId": "cat", "priority": 50},
    ],
    "creatives": [
        {
            "id": "vinyl-web",
            "name": "Vinyl banner",
            "offerId": "vinyl",
            "channelId": "web",
            "content": {"headline": "{{ customer.name | you }}, vinyl!"},
        },
        {"id": "tape-web", "name": "Tape banner", "offerId": "tape", "channelId": "web"},
        {"id": "vinyl-push", "name": "Vinyl ping", "offerId": "vinyl", "channelId": "push"},
    ],
    "behavioral-metrics": [
        {"id": "n", "key": "purchases", "name": "n", "aggregate": "count", "eventTypes": ["purchase"]}
    ],
    "contact-policies": [
        {
            "id": "once",
            "name": "Once a day",
            "kind": "frequency_cap",
            "scopes": [{"scope": "channel", "id": "push"}],
            "config": {"perDay": 1},
        }
    ],
    "decision-flows": [
        {"id": "flow", "key": "main", "name": "Flow", "status": "active", "default": True},
        {"id": "open", "name": "Open", "status": "active", "unknownCustomers": "allow"},
        {"id": "draft", "name": "Draft"},
    ],
}


def snapshot(entities: Mapping[str, Sequence[Mapping[str, Any]]] = ENTITIES) -> CatalogSnapshot:
    """The catalogue of one tenant, version 7."""
    changes = {}
    for kind, bodies in entities.items():
        for body in bodies:
            entity = load_entity(kind, body)
            assert not isinstance(entity, list), entity
            changes[kind, body["id"]] = entity
    return CatalogSnapshot().with_changes(TENANT, changes, 7)


class _Running(TestServer):
    """A worker's own server, bounds and all, on a free port."""

    def __init__(self, runner: BoundedRunner) -> None:
        super().__init__(runner.app)
        self._bounded = runner

    async def _make_runner(self, **kwargs: Any) -> BoundedRunner:
        return self._bounded


class Worker:
    """An engine with its stores in a folder; catalogue, clock and readiness can be set."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        values = {"partitions": PARTITIONS, "data_dir": folder, "auth_mode": "sandbox", **settings}
        self.settings = Settings(**values)
        self.metrics = new_metrics()
        self.partitions = Partitions(PARTITIONS, 1_000, 100, self.metrics)
        self.publisher = Publisher(
            ["127.0.0.1:1"], "test", topic_names("test"), PARTITIONS, timeout_ms=1_000, idempotent=True
        )
        self.catalogue = snapshot()
        self.catalogue_ready = True
        self.desk = MemoryDesk(self._show)
        self.scoreboard = Scoreboard()
        self.scoreboard.read()
        self.leased = True
        #: False where a test plays an owner, whose answers are anything.
        self.documented = True
        self.now_ms = NOW_MS
        self.owners: dict[int, str] = {}
        self.standbys: dict[int, Standby | None] = {}
        #: A client of the operations, when the settings give them a bind of their own.
        self.operations: Client | None = None
        self._memory = StoreMemory(8 << 20, 8 << 20)
        self._stores: list[PartitionStore] = []
        self.limits = Limits(self.settings, self.metrics, clock_s=lambda: self.now_ms / 1000)
        self.spool = Spool(
            folder / "spool", self.settings.spool_limit_bytes, lambda: self.now_ms, self.metrics
        )
        chances = itertools.count(1)
        self.engine = Engine(
            settings=self.settings,
            partitions=self.partitions,
            publisher=self.publisher,
            catalogue=lambda: self.catalogue,
            catalogue_ready=lambda: self.catalogue_ready,
            desk=self.desk,
            audit=self.desk.audit,
            scoreboard=self.scoreboard,
            lease_holds=lambda: self.leased,
            owners=lambda: self.owners,
            standbys=lambda: self.standbys,
            spool=self.spool,
            metrics=self.metrics,
            origin_id="0123456789abcdef",
            clock_ms=lambda: self.now_ms,
            chance=lambda: f"{next(chances):012x}",
            limits=self.limits,
            quota=Quota(
                self.settings,
                self.partitions,
                self.scoreboard,
                lambda: self.now_ms,
                self.metrics,
                self.limits.link,
            ),
        )

    def _show(self, catalogue: CatalogSnapshot) -> None:
        self.catalogue = catalogue

    def own_all(self) -> Self:
        """Own every partition, each with an empty store, and ready."""
        for number in range(PARTITIONS):
            partition = self.partitions.own(number)
            store = PartitionStore(self.settings.data_dir / f"{number}.db", self._memory)
            self._stores.append(store)
            partition.attach(store)
            partition.phase, partition.reason = Phase.READY, ""
        return self

    def use(self, publisher: Publisher) -> None:
        """Write to another log."""
        self.publisher = publisher
        self.engine = dataclasses.replace(self.engine, publisher=publisher)

    def number_for(self, customer_id: str, tenant: str = TENANT) -> int:
        """The number of a customer's partition."""
        return partition_of(customer_key(tenant, customer_id), PARTITIONS)

    def partition_for(self, customer_id: str, tenant: str = TENANT) -> Partition:
        """The partition that owns a customer."""
        found = self.partitions.get(self.number_for(customer_id, tenant))
        assert found is not None
        return found

    def know(self, customer_id: str, tenant: str = TENANT) -> None:
        """Make a customer known, as the fold of an event would."""
        customer = self.partition_for(customer_id, tenant).open(customer_key(tenant, customer_id))
        customer.known_since_ms = customer.last_event_ms = NOW_MS - 1_000

    def close(self) -> None:
        for store in self._stores:
            store.close()

    @asynccontextmanager
    async def client(self, name: str = "web-test") -> AsyncIterator[Client]:
        """A client of the worker's web server."""
        app = faust.App(
            name, autodiscover=False, broker="kafka://127.0.0.1:1", datadir=self.settings.data_dir
        )
        forwarder = mount(app, self.engine)
        app.web.init_server()
        await self.spool.open()
        api, *operations = cast(BoundedWeb, app.web).runners
        async with contextlib.AsyncExitStack() as stack:
            for runner in operations:
                self.operations = await stack.enter_async_context(TestClient(_Running(runner)))
            yield await stack.enter_async_context(CheckingClient(_Running(api), lambda: self.documented))
        await forwarder.close()
        await self.spool.close()


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Worker]:
    """A worker that owns everything, closed afterwards."""
    worker = Worker(folder, **settings).own_all()
    try:
        yield worker
    finally:
        worker.close()
