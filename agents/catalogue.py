"""The catalogue on this worker: the topic's committed state as one snapshot, swapped as a whole."""

from __future__ import annotations

import asyncio
import time

import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from app.decision.catalogue import CatalogSnapshot
from app.decision.entities import Entity
from app.decision.index import EntityKey
from config.metrics import Metrics
from config.settings import Settings
from tables.audit_records import ChainHead
from tables.background import Background
from tables.catalogue_log import CatalogueLog, TenantLog
from tables.catalogue_topic import CatalogueFeed, new_barrier, open_feed, remove_barrier, write_barrier
from tables.key_uses import USED, KeyUses
from tables.own_thread import OwnThread

log = structlog.get_logger(__name__)

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 5.0
#: A reader that has not met its barrier says so this often.
_SAY_EVERY_S = 5.0


class MissedRecordsError(Exception):
    """The log read so far cannot be right any more: read again from the beginning."""


class CatalogueReader:
    """Follows the topic and keeps the newest snapshot.

    Invariants: a snapshot holds whole imports only; once ready it stays ready with the last good snapshot,
    whatever happens to the broker or appears on the topic.

    Args:
        settings: brokers and application.
        metrics: where the version and the swaps are counted.
        key_uses: is told when API keys were used.
    """

    def __init__(self, settings: Settings, metrics: Metrics, key_uses: KeyUses | None = None) -> None:
        self._key_uses = key_uses or KeyUses()
        self._settings = settings
        self._metrics = metrics
        self._snapshot = CatalogSnapshot()
        self._ready = asyncio.Event()
        self._changed = asyncio.Condition()
        #: Notified when records were read; `_met` are the barriers that somebody waits for,
        #: with the log's version at each once it was read.
        self._progress = asyncio.Condition()
        self._met: dict[bytes, int | None] = {}
        self._trouble: str | None = "the catalogue is being read"
        self._log = CatalogueLog()
        self._stale: set[str] = set()
        self._background = Background(self._run, "catalogue reader")
        #: Its own, so that a revoked key is closed in time however many requests use the shared threads.
        self._thread = OwnThread("catalogue")
        self._removing: set[asyncio.Task[None]] = set()

    @property
    def snapshot(self) -> CatalogSnapshot:
        """The newest good snapshot; not to be used until `ready`."""
        return self._snapshot

    @property
    def ready(self) -> bool:
        """Whether everything committed before this reader's start is in the snapshot."""
        return self._ready.is_set()

    @property
    def problem(self) -> str | None:
        """Why the snapshot is not what the topic says, for /ready; None when it is."""
        return self._trouble or self._log.problems()

    async def wait_ready(self) -> None:
        """Return once `ready`."""
        await self._ready.wait()

    async def wait_version(self, version: int) -> None:
        """Return once the snapshot has this version or a later one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._snapshot.version >= version)

    async def tenant_at(self, tenant_id: str, version: int) -> TenantLog:
        """What the topic holds of a tenant, read up to this version or a later one: a copy.

        Newer than the snapshot, which takes time to compile.
        """
        async with self._progress:
            await self._progress.wait_for(lambda: self._log.version >= version)
            return self._log.tenant(tenant_id).copy()

    def audit_head(self, tenant_id: str) -> ChainHead:
        """A tenant's newest audit entry, as the catalogue read so far has it."""
        return self._log.tenant(tenant_id).audit_head

    async def read_to_now(self) -> int:
        """The version of the log once all is read that was committed when this was called.

        Raises:
            aiokafka.errors.KafkaError, TimeoutError: the barrier was not acknowledged.
        """
        barrier = new_barrier()
        self._met[barrier] = None
        try:
            await write_barrier(self._settings, barrier)
            async with self._progress:
                await self._progress.wait_for(lambda: self._met[barrier] is not None)
            return self._met[barrier] or 0
        finally:
            del self._met[barrier]
            removing = asyncio.create_task(remove_barrier(self._settings, barrier))
            self._removing.add(removing)
            removing.add_done_callback(self._removing.discard)

    async def start(self) -> None:
        """Begin to read, in the background; the topic must exist. See `wait_ready`."""
        self._background.start()

    async def stop(self) -> None:
        """Stop reading; the snapshot stays."""
        await self._background.stop()
        self._thread.close()
        if self._removing:
            await asyncio.wait(self._removing)

    async def _run(self) -> None:
        """Read for ever: whatever breaks is logged, and reading begins again after a growing pause."""
        pause_s = _BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            try:
                async with open_feed(self._settings) as feed:
                    await self._follow(feed)
            except (KafkaError, OSError, TimeoutError, MissedRecordsError) as error:
                self._trouble = f"the catalogue is read again after: {error!r}"
                log.warning("reading the catalogue again", error=repr(error), pause_s=round(pause_s, 1))
            except Exception as error:  # a reader that ended would leave an old catalogue for ever
                self._trouble = f"the catalogue is read again after: {error!r}"
                log.error("the catalogue's reader failed", error=repr(error), exc_info=True)
            if time.monotonic() - started > _BACKOFF_MAX_S:
                pause_s = _BACKOFF_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _BACKOFF_MAX_S)

    async def _follow(self, feed: CatalogueFeed) -> None:
        self._log, self._stale = CatalogueLog(), set()
        barrier = await feed.write_barrier()
        said = time.monotonic()
        while not await self._read(feed, barrier):
            if time.monotonic() - said > _SAY_EVERY_S:
                said = time.monotonic()
                log.warning("the catalogue's end is not read yet; an import may be under way")
        await self._catch_up()
        await feed.remove_barrier(barrier)
        while True:
            await self._read(feed, barrier)
            if self._stale:
                await self._swap()

    async def _read(self, feed: CatalogueFeed, barrier: bytes) -> bool:
        """Take in the next records; whether the barrier was among them."""
        records = await feed.records()
        passed = self._apply(records, barrier)
        if records:
            async with self._progress:
                self._progress.notify_all()
        return passed

    def _apply(self, records: list[ConsumerRecord], barrier: bytes) -> bool:
        passed, ignored = False, self._log.ignored
        for record in records:
            passed = passed or record.key == barrier
            if record.key is not None and record.key.startswith(USED):
                self._key_uses.heard(record.key, record.value)
            tenant_id = self._log.apply(record.offset, record.key, record.value)
            if tenant_id is not None:
                self._stale.add(tenant_id)
            elif record.key in self._met:
                self._met[record.key] = self._log.version
        if self._log.ignored > ignored:
            log.warning(
                "records with unknown keys on the catalogue's topic", count=self._log.ignored - ignored
            )
        return passed

    async def _catch_up(self) -> None:
        """Build the snapshot anew: the log was read from its beginning."""
        started = time.perf_counter()
        before = self._snapshot
        snapshot = CatalogSnapshot(self._log.version)
        for tenant_id, tenant in sorted(self._log.tenants.items()):
            entities = before.tenant(tenant_id).entities if tenant.problem else tenant.entities
            snapshot = await self._thread.run(
                snapshot.with_changes, tenant_id, dict(entities), self._log.version
            )
        self._stale.clear()
        self._trouble = None
        await self._put_in_place(snapshot, started)
        self._declare_ready()

    async def _swap(self) -> None:
        """Bring the tenants up to date whose imports were just read."""
        started = time.perf_counter()
        snapshot = self._snapshot
        stale, self._stale = sorted(self._stale), set()
        for tenant_id in stale:
            tenant = self._log.tenant(tenant_id)
            self._check(tenant_id, tenant)
            if tenant.problem is None:
                held = snapshot.tenant(tenant_id).entities
                changes: dict[EntityKey, Entity | None] = {
                    key: entity for key, entity in tenant.entities.items() if held.get(key) is not entity
                }
                changes |= {key: None for key in held if key not in tenant.entities}
                version = self._log.version
                if changes:
                    snapshot = await self._thread.run(snapshot.with_changes, tenant_id, changes, version)
                else:
                    # A marker alone: something was put into the audit trail.
                    snapshot = snapshot.at_version(version)
        if snapshot is not self._snapshot:
            await self._put_in_place(snapshot, started)
        self._declare_ready()

    def _check(self, tenant_id: str, tenant: TenantLog) -> None:
        """Raise when a deletion was missed; log what cannot be read."""
        if tenant.problem is None:
            return
        if not tenant.unreadable and self.ready:
            raise MissedRecordsError(f"tenant {tenant_id}: {tenant.problem}")
        log.error("a catalogue keeps its last good state", tenant=tenant_id, problem=tenant.problem)

    async def _put_in_place(self, snapshot: CatalogSnapshot, started: float) -> None:
        self._snapshot = snapshot
        self._key_uses.forget(lambda tenant, key_id: ("api-keys", key_id) in snapshot.tenant(tenant).entities)
        elapsed_s = time.perf_counter() - started
        self._metrics.catalogue_version.set(snapshot.version)
        self._metrics.catalogue_swap_seconds.observe(elapsed_s)
        log.info("catalogue in place", version=snapshot.version, took_ms=round(elapsed_s * 1000, 1))
        async with self._changed:
            self._changed.notify_all()

    def _declare_ready(self) -> None:
        """Ready the first time that no tenant has a problem: before that there is no last good state."""
        problem = self._log.problems()
        if problem is None:
            self._ready.set()
        elif not self.ready:
            log.error("the catalogue cannot be used", problem=problem)
