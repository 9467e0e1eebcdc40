"""Being the one who writes the catalogue, and knowing its state: see `catalogue_desk` for the rules."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec
import structlog
from aiokafka.errors import KafkaError

from config.settings import Settings
from tables.catalogue_change import Change
from tables.catalogue_commit import (
    CatalogueCommit,
    CatalogueConflictError,
    CatalogueTooLargeError,
    CatalogueWriteError,
    started_commit,
)
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff
from tables.catalogue_topic import CatalogueReadError

log = structlog.get_logger(__name__)

#: Times that a change is tried: another writer may come in between each time.
_ATTEMPTS = 5
#: Writers that keep fencing each other wait for up to this long between two attempts, in milliseconds.
_PAUSE_MAX_MS = 100
#: A large import may take longer than a small change, by this for each byte.
_WRITE_S_PER_BYTE = 1 / 1024**2

#: What is to be written, given the tenant and the instant (UTC); None for nothing. May raise a refusal.
Work = Callable[[TenantLog, datetime], tuple[ImportDiff, Change | None]]


class CatalogueSource(Protocol):
    """The worker's own reader of the topic."""

    async def wait_version(self, version: int) -> None:
        """Return once the snapshot has this version or a later one."""

    async def tenant_at(self, tenant_id: str, version: int) -> TenantLog:
        """A copy of the tenant, read up to this version or a later one."""

    async def read_to_now(self) -> int:
        """The version once all is read that was committed when this was called."""


class CatalogueSession:
    """A producer that is kept, and the version that the state is known as of. One write at a time."""

    def __init__(self, settings: Settings, source: CatalogueSource, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._timeout_s = settings.publish_timeout_ms / 1000
        self._commit: CatalogueCommit | None = None
        self._known = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def write(self, tenant_id: str, work: Work) -> ImportDiff:
        """What the work did, durable; `version` is None when it wrote nothing. Raises as of the desk."""
        until_s = time.monotonic() + self._timeout_s
        for left in reversed(range(_ATTEMPTS)):
            try:
                return await self._attempt(tenant_id, work)
            except CatalogueTooLargeError:
                raise
            except CatalogueWriteError as error:
                self._drop()
                if not error.certain or not left or time.monotonic() > until_s:
                    raise
                log.info("changing the catalogue again", tenant=tenant_id, error=str(error))
                await asyncio.sleep(secrets.randbelow(_PAUSE_MAX_MS) / 1000)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def read(self, tenant_id: str) -> TenantLog:
        """The tenant, everything committed by now included; fences nobody."""
        return await self._tenant(tenant_id, await self._barrier())

    async def stop(self) -> None:
        """Disconnect."""
        self._drop()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _attempt(self, tenant_id: str, work: Work) -> ImportDiff:
        commit, fresh = await self._begin()
        current = await self._tenant(tenant_id, self._known)
        try:
            diff, change = await asyncio.to_thread(work, current, self._clock())
        except Exception:
            await self._confirm(fresh)
            raise
        if change is None:
            await self._confirm(fresh)
            return diff
        try:
            version = await commit.write(change.catalogue, change.audit, self._allowed_s(change))
        except CatalogueWriteError as error:
            if error.certain:
                raise
            version = await self._settle(tenant_id, current, change, error)
        self._known = version
        return msgspec.structs.replace(diff, version=version)

    async def _begin(self) -> tuple[CatalogueCommit, bool]:
        """The writer, and whether the state was read up to now; without a writer yet a new one."""
        if self._commit is not None and self._settings.idempotent_producer:
            return self._commit, False
        if self._commit is None:
            self._commit = await started_commit(self._settings, self._timeout_s)
        commit = self._commit
        try:
            self._known = await self._barrier()
        except CatalogueReadError:
            self._drop()
            raise
        return commit, True

    async def _confirm(self, fresh: bool) -> None:
        """Raise when another has written: what was made of the state before does not count."""
        if not fresh and await self._barrier() != self._known:
            raise CatalogueConflictError("another has changed the catalogue meanwhile", certain=True)

    async def _settle(
        self, tenant_id: str, before: TenantLog, change: Change, error: CatalogueWriteError
    ) -> int:
        """The version of a change whose acknowledgement was lost.

        Raises:
            CatalogueWriteError: it is not there; `certain` when it never will be.
        """
        self._drop()
        try:
            await self._begin()
            now = await self._tenant(tenant_id, self._known)
        except (CatalogueReadError, CatalogueWriteError) as again:
            message = f"{error}; whether it holds cannot be read now: {again}"
            raise CatalogueWriteError(message, certain=False) from again
        if change.import_id in now.imports:
            return now.version
        certain = self._settings.idempotent_producer and now.has_all_since(before)
        raise CatalogueWriteError(str(error), certain) from error

    async def _tenant(self, tenant_id: str, version: int) -> TenantLog:
        try:
            async with asyncio.timeout(self._timeout_s):
                tenant = await self._source.tenant_at(tenant_id, version)
        except TimeoutError as error:
            raise CatalogueReadError(f"version {version} of the catalogue is not read here yet") from error
        if tenant.problem is not None and not tenant.unreadable:
            raise CatalogueReadError(f"the catalogue of {tenant_id} is being read again: {tenant.problem}")
        return tenant

    async def _barrier(self) -> int:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._source.read_to_now()
        except (KafkaError, OSError, TimeoutError) as error:
            raise CatalogueReadError(f"the catalogue cannot be read up to now: {error!r}") from error

    def _allowed_s(self, change: Change) -> float:
        written = sum(len(value or b"") for _, value in (*change.catalogue, *change.audit))
        return self._timeout_s + written * _WRITE_S_PER_BYTE

    def _drop(self) -> None:
        """Have no writer any more. Its client may take seconds to close, which nobody waits for."""
        commit, self._commit = self._commit, None
        if commit is not None:
            closing = asyncio.create_task(commit.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
