"""The bytes of the topic `catalog`, one kind of record each.

Layout, format 1; keys are UTF-8, values JSON:

    <tenant>:<kind>:<id>   {"v": 1, "importId": "...", "entity": {...}}   an entity, `kind` in the plural
    <tenant>:<kind>:<id>   no value                                        the entity is gone
    <tenant>:!commit       {"v": 1, "importId", "count", "total",          everything before it holds
                            "digest", "at", "by", "audit"}
    !barrier:<uuid>        {"v": 1}                                        read up to here: catalogue_topic
    !used:<tenant>:<key>   {"v": 1, "atMs"}                                an API key's last use: key_uses

`count` is how many entities that import wrote (deletions not counted: their records expire), `total` how
many the tenant has after it, `digest` the sum of `value_digest` over their values, in hexadecimal, `audit`
the head of the tenant's audit trail as of it (`{"sequence", "hash"}`; older versions do not know it and must
not write any more: the trail would begin anew). A tenant's id has no colon and no `!`, a kind has no colon;
an id may have colons. A later format raises `v`; a reader
that meets a higher one than its own keeps what it has.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

import msgspec

from app.decision.entities import KINDS, Entity
from app.decision.index import EntityKey
from tables.audit_records import ChainHead

FORMAT = 1
BARRIER = b"!barrier:"
_COMMIT = "!commit"
_TENANT = re.compile(r"[a-z0-9-]{1,64}(?![\s\S])")


class UnreadableRecordError(ValueError):
    """A record that this version cannot read. `import_id` is the import it belongs to, if that is known."""

    def __init__(self, message: str, import_id: str | None = None) -> None:
        super().__init__(message)
        self.import_id = import_id


class Marker(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An import's commit: its id, the entities it wrote, those the tenant has now, when and by whom.

    `audit` is the newest audit entry of the tenant, those of this import included.
    """

    v: int = FORMAT
    import_id: str
    count: int
    total: int
    digest: str
    at: datetime
    by: str
    audit: ChainHead | None = None


class RecordKey(msgspec.Struct, frozen=True):
    """What a key is about: an entity of a tenant, or, None, the tenant's commit marker."""

    tenant_id: str
    entity: EntityKey | None


class _Envelope(msgspec.Struct, kw_only=True, rename="camel"):
    v: int
    import_id: str
    entity: msgspec.Raw


class _Version(msgspec.Struct, rename="camel"):
    v: int
    import_id: str | None = None


def is_tenant_id(text: str) -> bool:
    """Whether the text can name a tenant: `[a-z0-9-]{1,64}`."""
    return _TENANT.match(text) is not None


def entity_key(tenant_id: str, entity: EntityKey) -> bytes:
    """The key of an entity's record."""
    kind, entity_id = entity
    return f"{tenant_id}:{kind}:{entity_id}".encode()


def marker_key(tenant_id: str) -> bytes:
    """The key of a tenant's commit marker."""
    return f"{tenant_id}:{_COMMIT}".encode()


def parse_key(key: bytes | None) -> RecordKey | None:
    """What a key is about; None for a barrier and for what is no key of this topic."""
    try:
        tenant_id, _, rest = (key or b"").decode().partition(":")
    except UnicodeDecodeError:
        return None
    if not is_tenant_id(tenant_id):
        return None
    if rest == _COMMIT:
        return RecordKey(tenant_id, None)
    kind, colon, entity_id = rest.partition(":")
    return RecordKey(tenant_id, (kind, entity_id)) if kind and colon and entity_id else None


def encode_entity(import_id: str, entity: Entity) -> bytes:
    """The value of an entity's record."""
    return msgspec.json.encode({"v": FORMAT, "importId": import_id, "entity": entity})


def decode_entity(kind: str, value: bytes) -> tuple[str, Entity]:
    """The import's id and the entity.

    Raises:
        UnreadableRecordError: garbage, a later format, or a kind or field that this version does not know.
    """
    _check_format(value)
    import_id = None
    try:
        envelope = msgspec.json.decode(value, type=_Envelope)
        import_id = envelope.import_id
        return import_id, msgspec.json.decode(envelope.entity, type=KINDS[kind])
    except KeyError:
        raise UnreadableRecordError(f"{kind} is a kind that this version does not know", import_id) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableRecordError(str(error), import_id) from error


def encode_marker(marker: Marker) -> bytes:
    """The value of a commit marker's record."""
    return msgspec.json.encode(marker)


def decode_marker(value: bytes) -> Marker:
    """The commit marker.

    Raises:
        UnreadableRecordError: garbage or a later format.
    """
    _check_format(value)
    try:
        return msgspec.json.decode(value, type=Marker)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableRecordError(str(error)) from error


def value_digest(value: bytes) -> int:
    """64 bits that stand for an entity's value. Sums of them, modulo 2 to the 64, do not depend on order."""
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big")


def _check_format(value: bytes) -> None:
    try:
        found = msgspec.json.decode(value, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableRecordError(f"it is no record of a catalogue: {error}") from error
    if found.v > FORMAT:
        raise UnreadableRecordError(
            f"it has format {found.v}, this version reads up to {FORMAT}", found.import_id
        )
