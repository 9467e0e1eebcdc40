"""A worker: everything built in one place, started in order, stopped cleanly.

Start: wait for a broker → create topics → producer → catalogue and scoreboard readers → Faust (web, group,
agents). A view answers 503 until what it needs is ready. Stop: no new requests → batches in hand → flush →
leave the group.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import time
from collections.abc import Mapping
from functools import partial
from typing import cast

import faust
import structlog
from faust.types import TransportT

from agents.audit import AuditReader
from agents.catalogue import CatalogueReader
from agents.host import Host
from agents.key_uses import KeyUseTeller
from agents.scoreboard import ScoreboardReader
from agents.streams import declare_agents
from app.faust_settings import faust_settings
from app.ports import check_ports
from app.provision import ensure_topics, wait_for_broker
from app.transport.consumer import ConsumerOptions, MicroBatchTransport
from app.transport.membership import Membership
from app.transport.owners import Owners
from app.transport.recovery import table_manager
from app.transport.source import ConsumerSource, DurablePositions
from app.transport.table import declare_table
from config.metrics import Metrics, new_metrics
from config.settings import Settings
from config.topics import SOURCE_TOPICS, TABLE, changelog_topic, topic_names
from tables.audit_index import AuditIndex
from tables.audit_pages import AuditPages
from tables.audit_topic import read_entries
from tables.catalogue_desk import CatalogueDesk
from tables.key_uses import KeyUses
from tables.partitions import Partitions
from tables.publisher import Publisher
from tables.scoreboard import Scoreboard
from tables.spool import Spool
from tables.spool_publisher import SpoolPublisher, open_or_say
from web.engine import Engine
from web.forwarding import Forwarder
from web.limits import Limits
from web.quota import Quota
from web.routes import mount

log = structlog.get_logger(__name__)

#: A stop may take this long, in seconds; a clean one takes less than one.
STOP_S = 15.0

#: Requests that may wait for one partition's fold.
MAX_WAITERS = 10_000


class OffertideApp(faust.App):
    """A Faust app whose transport carries micro-batches, and its parts."""

    mundane_level = "debug"

    consumer_options: ConsumerOptions
    publisher: Publisher
    catalogue: CatalogueReader
    desk: CatalogueDesk
    audit: AuditReader
    audit_index: AuditIndex
    scoreboard: Scoreboard
    scores: ScoreboardReader
    host: Host
    partitions: Partitions
    forwarder: Forwarder
    key_uses: KeyUseTeller
    limits: Limits
    spool: Spool
    spool_publisher: SpoolPublisher
    metrics: Metrics
    settings: Settings

    def _new_transport(self) -> TransportT:
        transport = MicroBatchTransport(self.conf.broker_consumer, self)
        transport.options = self.consumer_options
        return cast(TransportT, transport)

    async def start_all(self) -> None:
        """Start the worker; returns once Faust runs. Readiness comes later, see /ready.

        Raises:
            app.provision.ProvisionError: no broker answered in time, or the topics are not as they must be.
            OSError: the data folder cannot be made, or the port is taken.
            tables.spool_files.SpoolHeldError: another worker has the data folder.
        """
        (self.settings.data_dir / self.settings.app_id).mkdir(parents=True, exist_ok=True)
        check_ports(self.settings)
        # First of all that is this worker's alone.
        await open_or_say(self.spool)
        await wait_for_broker(self.settings)
        await ensure_topics(self.settings)
        await self.publisher.start()
        # Before anything can be ingested: what an earlier life left goes first.
        self.spool_publisher.start()
        await self.catalogue.start()
        await self.scores.start()
        self.key_uses.start()
        await self.audit.start()
        self.limits.start()
        await self.start()

    async def stop_all(self) -> None:
        """Stop cleanly: finish the batches in hand, flush, leave the group."""
        # First: a request that waits for an owner that hangs would hold up the web server's end.
        await self.forwarder.close()
        await self.stop()
        await self.spool_publisher.stop()
        await self.spool.close()
        await self.key_uses.stop()
        await self.limits.stop()
        await self.scores.stop()
        await self.desk.stop()
        await self.audit.stop()
        await self.catalogue.stop()
        await self.publisher.stop()


def create_app(settings: Settings, metrics: Metrics | None = None) -> OffertideApp:
    """A worker's app, complete and not started. Call it inside the event loop it will run in."""
    metrics = metrics or new_metrics()
    names = topic_names(settings.app_id)
    origin_id = secrets.token_hex(8)
    partitions = Partitions(settings.partitions, settings.cache_customers, MAX_WAITERS, metrics)
    publisher = _publisher(settings, names)
    key_uses = KeyUses()
    catalogue = CatalogueReader(settings, metrics, key_uses)
    scoreboard = Scoreboard()

    async def known() -> None:
        await catalogue.wait_ready()
        await scoreboard.wait_ready()

    host = Host(
        settings=settings,
        partitions=partitions,
        publisher=publisher,
        catalogue=lambda: catalogue.snapshot,
        catalogue_ready=known,
        metrics=metrics,
        origin_id=origin_id,
    )
    membership = Membership(settings.session_timeout_ms)
    app = OffertideApp(settings.app_id, **faust_settings(settings), TableManager=table_manager(host))
    app.settings, app.metrics, app.partitions = settings, metrics, partitions
    app.publisher, app.catalogue, app.host = publisher, catalogue, host
    app.key_uses = KeyUseTeller(key_uses, publisher)
    app.desk, app.audit_index = CatalogueDesk(settings, catalogue, metrics), AuditIndex()
    app.audit = AuditReader(settings, app.audit_index, metrics)
    app.spool = Spool(
        settings.data_dir / settings.app_id / "spool", settings.spool_limit_bytes, _now_ms, metrics
    )
    app.spool_publisher = SpoolPublisher(app.spool, publisher, settings.partitions, metrics)
    app.scoreboard, app.scores = scoreboard, ScoreboardReader(settings, scoreboard, metrics)
    app.consumer_options = _consumer_options(app, names, membership)
    host.source = ConsumerSource(app, names, membership)
    declare_table(app, TABLE, partitions, settings.partitions)
    declare_agents(app, host, names)
    app.limits = Limits(settings, metrics)
    app.forwarder = mount(app, _engine(app, membership, origin_id))
    return app


def _publisher(settings: Settings, names: dict[str, str]) -> Publisher:
    return Publisher(
        settings.bootstrap_servers,
        settings.app_id,
        names,
        settings.partitions,
        settings.publish_timeout_ms,
        settings.idempotent_producer,
    )


def _consumer_options(app: OffertideApp, names: Mapping[str, str], membership: Membership) -> ConsumerOptions:
    return ConsumerOptions(
        chunked=frozenset(names[name] for name in SOURCE_TOPICS),
        chunk_records=app.settings.batch_max_records,
        fetch_wait_ms=app.settings.fetch_wait_ms,
        positions=DurablePositions(names, app.host),
        membership=membership,
    )


def _engine(app: OffertideApp, membership: Membership, origin_id: str) -> Engine:
    """What the views work with: the app's parts, and the clock and chance that they may use."""
    catalogue = app.catalogue
    return Engine(
        settings=app.settings,
        partitions=app.partitions,
        publisher=app.publisher,
        catalogue=lambda: catalogue.snapshot,
        catalogue_ready=lambda: catalogue.ready,
        desk=app.desk,
        audit=AuditPages(app.audit_index, catalogue.audit_head, partial(read_entries, app.settings)),
        scoreboard=app.scoreboard,
        lease_holds=membership.holds,
        standbys=app.host.standbys.copies,
        spool=app.spool,
        owners=Owners(app, changelog_topic(app.settings.app_id)),
        key_uses=app.key_uses.uses,
        metrics=app.metrics,
        origin_id=origin_id,
        clock_ms=_now_ms,
        chance=lambda: secrets.token_hex(6),
        limits=app.limits,
        quota=Quota(app.settings, app.partitions, app.scoreboard, _now_ms, app.metrics, app.limits.link),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _stop_or_end(app: OffertideApp) -> None:
    """Stop the worker; end the process when that takes too long or fails: some of its tasks would go on.

    Ending loses nothing: it is what a crash is, and the state is on Kafka.
    """
    stopped = asyncio.create_task(app.stop_all())
    await asyncio.wait([stopped], timeout=STOP_S)
    if not stopped.done():
        log.error("the worker did not stop in time, ending it", seconds=STOP_S)
    elif (error := stopped.exception()) is not None:
        log.error("the worker did not stop in order, ending it", error=repr(error), exc_info=error)
    else:
        return
    logging.shutdown()
    os._exit(1)


async def run_worker(settings: Settings, *, supervised: bool = False) -> int:
    """Run a worker until SIGTERM or SIGINT, or until it crashes; returns the process's exit code.

    Args:
        supervised: a supervisor ends the worker when a stop takes too long. A second signal then does not:
            systemd, for one, signals every process of a service, the supervisor one each of its workers.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        if supervised:
            return
        # A second one ends the process at once: whoever sends it has waited enough.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    app = create_app(settings)
    starting = asyncio.create_task(app.start_all())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            ops = settings.binds[-1]
            log.info("worker started", url=settings.worker_url, operations=ops, broker=settings.broker)
            crashed = asyncio.create_task(app.wait_until_stopped())
            await asyncio.wait([crashed, stopping], return_when=asyncio.FIRST_COMPLETED)
            crashed.cancel()
        else:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
    finally:
        stopping.cancel()
        await _stop_or_end(app)
    if app.crash_reason is not None:
        log.error("worker crashed", error=repr(app.crash_reason))
        return 1
    log.info("worker stopped")
    return 0
