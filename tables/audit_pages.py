"""Pages of the audit trail: found in the index, read from the topic, with what is known of the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tables.audit_index import AuditFilter, AuditIndex
from tables.audit_records import ChainHead
from tables.audit_topic import AuditReadError

#: Pages read at once; each takes a connection of its own.
_READS_MAX = 4
#: How long a page waits for entries that the catalogue's markers tell of, in seconds, and for its turn.
_WAIT_S = 2.0
_LOOK_EVERY_S = 0.01


class AuditBusyError(Exception):
    """Too many pages are being read. External, retryable."""


class ChainState(msgspec.Struct, frozen=True, rename="camel"):
    """A chain as this worker read it, from its first entry to the newest.

    `sequence` and `hash` are those of the newest entry. `problem` says why the chain does not hold.
    `forgotten` is how many of the oldest entries only `offertide audit export` still shows.
    """

    verified: bool
    sequence: int
    hash: str
    problem: str | None
    forgotten: int


class AuditPage(msgspec.Struct, frozen=True):
    """Entries as they are on the topic, newest first; how many match in all; and the whole chain's state."""

    entries: Sequence[bytes]
    total: int
    chain: ChainState


class AuditPages:
    """The trail of every tenant, for views.

    Args:
        index: where entries lie.
        head: a tenant's newest entry, as the catalogue read here knows it.
        read: the entries at some offsets.
    """

    def __init__(
        self,
        index: AuditIndex,
        head: Callable[[str], ChainHead],
        read: Callable[[Sequence[int]], Awaitable[list[bytes]]],
    ) -> None:
        self._index = index
        self._head = head
        self._read = read
        self._turns = asyncio.Semaphore(_READS_MAX)

    async def page(self, tenant_id: str, wanted: AuditFilter, limit: int, offset: int) -> AuditPage:
        """One page.

        Raises:
            AuditReadError: the trail is not read yet, or cannot be.
            AuditBusyError: too many pages are being read.
        """
        await self._wait(tenant_id)
        found = await asyncio.to_thread(self._index.find, tenant_id, wanted, limit, offset)
        state = self._state(tenant_id)
        if not found.offsets:
            return AuditPage((), found.total, state)
        try:
            await asyncio.wait_for(self._turns.acquire(), _WAIT_S)
        except TimeoutError as error:
            raise AuditBusyError from error
        try:
            return AuditPage(await self._read(found.offsets), found.total, state)
        finally:
            self._turns.release()

    async def _wait(self, tenant_id: str) -> None:
        """Return once all is indexed that this worker's catalogue tells of, or will not be in time."""
        head = self._head(tenant_id)
        try:
            async with asyncio.timeout(_WAIT_S):
                # A thread fills the index, which has no event.
                while not self._has(tenant_id, head):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError as error:
            if not self._index.read:
                raise AuditReadError("the audit trail is being read") from error

    def _has(self, tenant_id: str, head: ChainHead) -> bool:
        return self._index.read and self._index.chain(tenant_id).head.sequence >= head.sequence

    def _state(self, tenant_id: str) -> ChainState:
        chain = self._index.chain(tenant_id)
        problem = chain.fault(self._head(tenant_id))
        return ChainState(
            problem is None,
            chain.head.sequence,
            chain.head.hash,
            problem,
            self._index.forgotten(tenant_id),
        )
