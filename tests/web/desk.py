"""A desk without a broker: the same plans, records and log, applied at once.

It begins empty: what a test puts in the harness's own `catalogue` is no part of it; commit that first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from app.decision.catalogue import CatalogSnapshot
from tables.audit_actor import Actor
from tables.audit_index import AuditIndex
from tables.audit_pages import AuditPages
from tables.catalogue_change import Change, Order, change_of, fact_of
from tables.catalogue_desk import Plan
from tables.catalogue_log import CatalogueLog
from tables.catalogue_plan import ImportDiff


class MemoryDesk:
    """Catalogues in memory; `show` gets the snapshot after each change."""

    def __init__(self, show: Callable[[CatalogSnapshot], None]) -> None:
        self._show = show
        self._log = CatalogueLog()
        self._offset = 0
        self._snapshot = CatalogSnapshot()
        self._audit: list[tuple[bytes, bytes | None]] = []
        index = AuditIndex()
        index.read = True
        self.index = index
        #: The trail of what was committed here.
        self.audit = AuditPages(index, lambda tenant_id: self._log.tenant(tenant_id).audit_head, self._read)
        #: Raised by the next call, once.
        self.failure: Exception | None = None
        #: What was recorded without a change: tenant, actor, action, subject.
        self.facts: list[tuple[str, Actor, str, str]] = []

    async def commit(
        self, tenant_id: str, plan: Plan, actor: Actor, *, request_id: str = "", reason: str = ""
    ) -> ImportDiff:
        self._fail()
        current = self._log.tenant(tenant_id)
        at = datetime.now(UTC)
        planned = plan(current, at)
        if not planned.changes:
            return planned.diff
        order = Order(actor=actor, at=at, request_id=request_id, reason=reason)
        self._write(change_of(tenant_id, current, planned, order))
        self._snapshot = self._snapshot.with_changes(tenant_id, planned.changes, self._offset)
        self._show(self._snapshot)
        return msgspec.structs.replace(planned.diff, version=self._offset)

    async def preview(self, tenant_id: str, plan: Plan) -> ImportDiff:
        self._fail()
        return plan(self._log.tenant(tenant_id), datetime.now(UTC)).diff

    async def record_fact(
        self, tenant_id: str, actor: Actor, action: str, subject: str, *, request_id: str = ""
    ) -> None:
        self._fail()
        self.facts.append((tenant_id, actor, action, subject))
        order = Order(actor=actor, at=datetime.now(UTC), request_id=request_id)
        self._write(fact_of(tenant_id, self._log.tenant(tenant_id), action, subject, order))

    def tamper(self, sequence: int, old: bytes, new: bytes) -> None:
        """Change the text of an entry, and read the trail again."""
        key, value = self._audit[sequence - 1]
        self._audit[sequence - 1] = (key, (value or b"").replace(old, new))
        self.index.clear()
        self.index.read = True
        for offset, (key, value) in enumerate(self._audit):
            self.index.add(offset, key, value)

    def _write(self, change: Change) -> None:
        for key, value in change.audit:
            self.index.add(len(self._audit), key, value)
            self._audit.append((key, value))
        for key, value in change.catalogue:
            self._offset += 1
            self._log.apply(self._offset, key, value)

    async def _read(self, offsets: Sequence[int]) -> list[bytes]:
        return [self._audit[offset][1] or b"" for offset in offsets]

    def _fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
