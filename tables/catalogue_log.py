"""What the records of the topic `catalog` add up to, and from when on it holds.

Rules of this module:

1.  Records wait until their tenant's next commit marker and then hold together; without one, never.
2.  An import counts only when all it wrote was seen. Compaction may have taken a record away because a later
    import replaced it; that one's marker is then still to come, and the earlier import is never applied
    alone. (Read from the beginning, a tenant's last marker always has everything before it.)
3.  Aborted imports are no matter here: the consumer reads committed transactions only, and compaction does
    not let an aborted record replace a committed one.
4.  A record that cannot be read counts as seen, and spoils its tenant until something replaces it.
5.  A tenant is sound when nothing of it is unreadable and its values have the digest that its marker says. A
    reader that lagged behind the expiry of a deletion has others; it must read from the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from app.decision.entities import Entity
from app.decision.index import EntityKey
from tables.audit_records import GENESIS
from tables.catalogue_records import (
    BARRIER,
    Marker,
    UnreadableRecordError,
    decode_entity,
    decode_marker,
    parse_key,
    value_digest,
)
from tables.key_uses import USED

#: Imports of a tenant that are remembered by their id: whoever missed an acknowledgement asks soon.
IMPORTS_KEPT = 64


class _Written(msgspec.Struct, frozen=True):
    """A record that waits for its marker. `entity` is None for a deletion."""

    import_id: str | None
    entity: Entity | None
    digest: int = 0
    unreadable: str | None = None


class TenantLog:
    """One tenant's committed entities, and what waits for a marker."""

    __slots__ = (
        "_digests",
        "audit_head",
        "entities",
        "imports",
        "problem",
        "reading",
        "unreadable",
        "version",
        "waiting",
    )

    def __init__(self, reading: object = None) -> None:
        #: The same for all that one reading of the topic gave.
        self.reading = reading
        #: Committed and readable.
        self.entities: dict[EntityKey, Entity] = {}
        #: Committed and not readable, with the reason.
        self.unreadable: dict[EntityKey, str] = {}
        self.waiting: dict[EntityKey, _Written] = {}
        self._digests: dict[EntityKey, int] = {}
        #: Offset of the marker that `entities` are as of, -1 before the first.
        self.version = -1
        #: The tenant's newest audit entry.
        self.audit_head = GENESIS
        #: The newest imports applied, the last one last.
        self.imports: deque[str] = deque(maxlen=IMPORTS_KEPT)
        #: Why `entities` must not be used, None when they are sound.
        self.problem: str | None = None

    def put(self, key: EntityKey, value: bytes | None) -> None:
        """Take in an entity's record."""
        if value is None:
            self.waiting[key] = _Written(None, None)
            return
        digest = value_digest(value)
        try:
            import_id, entity = decode_entity(key[0], value)
            self.waiting[key] = _Written(import_id, entity, digest)
        except UnreadableRecordError as error:
            self.waiting[key] = _Written(error.import_id, None, digest, str(error))

    def commit(self, marker: Marker, offset: int) -> bool:
        """Apply what waits, if all of the marker's import was seen; whether it was."""
        seen = sum(self._belongs(written, marker.import_id) for written in self.waiting.values())
        if seen < marker.count:
            self.problem = (
                f"import {marker.import_id} at offset {offset} is incomplete, {seen} of {marker.count} "
                "records: waiting for the one that replaced it"
            )
            return False
        for key, written in self.waiting.items():
            self._apply(key, written)
        self.waiting.clear()
        self.version = offset
        self.imports.append(marker.import_id)
        if marker.audit is not None:
            self.audit_head = marker.audit
        self.problem = self._fault(marker)
        return True

    def copy(self) -> TenantLog:
        """The same, which stays as it is while this one goes on."""
        other = TenantLog(self.reading)
        other.entities, other.unreadable = dict(self.entities), dict(self.unreadable)
        other.waiting, other._digests = dict(self.waiting), dict(self._digests)
        other.version, other.problem = self.version, self.problem
        other.audit_head, other.imports = self.audit_head, self.imports.copy()
        return other

    def has_all_since(self, before: TenantLog) -> bool:
        """Whether `imports` has every import made since an earlier copy: none was compacted or forgotten."""
        if self.version == before.version:
            return True
        if before.imports and before.imports[-1] in self.imports:
            return True
        return self.reading is before.reading and len(self.imports) < IMPORTS_KEPT

    def digest_with(self, changes: Mapping[EntityKey, bytes | None]) -> str:
        """What a marker says of the committed values once these are written, None for a deletion."""
        written = {key: value_digest(value) for key, value in changes.items() if value is not None}
        kept = sum(digest for key, digest in self._digests.items() if key not in changes)
        return f"{(kept + sum(written.values())) % 2**64:016x}"

    def _belongs(self, written: _Written, import_id: str) -> bool:
        if written.unreadable is not None and written.import_id is None:
            return True  # whose it is cannot be known; rule 4
        return written.import_id == import_id

    def _apply(self, key: EntityKey, written: _Written) -> None:
        self.entities.pop(key, None)
        self.unreadable.pop(key, None)
        self._digests.pop(key, None)
        if written.digest:
            self._digests[key] = written.digest
        if written.unreadable is not None:
            self.unreadable[key] = written.unreadable
        elif written.entity is not None:
            self.entities[key] = written.entity

    def _fault(self, marker: Marker) -> str | None:
        if self.unreadable:
            (kind, entity_id), reason = next(iter(self.unreadable.items()))
            return f"{len(self.unreadable)} records cannot be read; {kind}[{entity_id}]: {reason}"
        if self.digest_with({}) != marker.digest:
            return f"its {len(self.entities)} entities are not the {marker.total} that its last import left"
        return None


class CatalogueLog:
    """The topic read from its beginning, record by record."""

    def __init__(self) -> None:
        self._tenants: dict[str, TenantLog] = {}
        self._reading = object()
        #: Offset of the newest marker applied, 0 before the first: the catalogue's version.
        self.version = 0
        #: Keys in no form of this version, ignored.
        self.ignored = 0

    @property
    def tenants(self) -> Mapping[str, TenantLog]:
        """Every tenant that has a record."""
        return self._tenants

    def tenant(self, tenant_id: str) -> TenantLog:
        """A tenant's log; an empty one for an unknown tenant."""
        return self._tenants.get(tenant_id) or TenantLog(self._reading)

    def apply(self, offset: int, key: bytes | None, value: bytes | None) -> str | None:
        """Take in the next record; the tenant whose entities changed with it, else None."""
        parsed = parse_key(key)
        if parsed is None:
            self.ignored += not (key or b"").startswith((BARRIER, USED))
            return None
        tenant = self._tenants.setdefault(parsed.tenant_id, TenantLog(self._reading))
        if parsed.entity is not None:
            tenant.put(parsed.entity, value)
            return None
        if value is None:
            return None
        try:
            marker = decode_marker(value)
        except UnreadableRecordError as error:
            tenant.problem = f"the import committed at offset {offset} cannot be read: {error}"
            return None
        if not tenant.commit(marker, offset):
            return None
        self.version = offset
        return parsed.tenant_id

    def problems(self) -> str | None:
        """What is wrong with which tenants, in one line; None when all are sound."""
        found = [
            f"{name}: {tenant.problem}" for name, tenant in sorted(self._tenants.items()) if tenant.problem
        ]
        return "; ".join(found) or None
