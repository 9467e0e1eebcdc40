"""The entries of the topic `audit`: what happened, chained so that nobody can change or remove one unseen.

Rules of this module:

1.  A tenant's entries are numbered from 1. Each names the hash of the one before it, `previous`; the first
    names 64 zeros.
2.  `hash` is SHA-256, in hexadecimal, over the canonical JSON of the entry without `hash`: names sorted, no
    spaces, what is not ASCII as `\\uXXXX`. In Python that is `json.dumps(entry, sort_keys=True,
    separators=(",", ":"))`.
3.  Key: the tenant's id. Value: the entry's canonical JSON with `hash`. Entries are never changed or deleted;
    `v` is the format, and a later format keeps rules 1 and 2, so that every version can check a chain.
4.  No entry holds a secret or a customer's id. Documents larger than `DOCUMENT_MAX_BYTES` are left out; their
    length and SHA-256 stand in their place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from tables.audit_actor import Actor

FORMAT = 1
#: Largest document of a state before or after, in bytes of canonical JSON.
DOCUMENT_MAX_BYTES = 64 * 1024

Document = Mapping[str, Any]


class ChainHead(msgspec.Struct, frozen=True):
    """A tenant's newest entry: its number and its hash."""

    sequence: int
    hash: str


#: The head of a chain without entries.
GENESIS = ChainHead(0, "0" * 64)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one subject: the part of an entry that says something.

    `kind` is an entity's kind in the plural, or empty for a fact; `subject` its id, or a hash.
    """

    action: str
    kind: str = ""
    subject: str
    version_before: int | None = None
    version_after: int | None = None
    before: Document | None = None
    after: Document | None = None


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the entries of one change share: whose it is, when, by whom, at which request, and why."""

    tenant_id: str
    at: datetime
    actor: Actor
    import_id: str
    request_id: str = ""
    reason: str = ""


class BrokenEntryError(ValueError):
    """A record that is no entry of a chain, or not the one that its hash was made of."""


def encode_entry(event: Event, circumstances: Circumstances, head: ChainHead) -> tuple[bytes, ChainHead]:
    """The value of the entry that follows `head`, and the head it makes."""
    entry = {
        "v": FORMAT,
        "tenant": circumstances.tenant_id,
        "sequence": head.sequence + 1,
        "at": msgspec.to_builtins(circumstances.at),
        "actor": {"id": circumstances.actor.id, "name": circumstances.actor.name},
        "action": event.action,
        "kind": event.kind,
        "id": event.subject,
        "versionBefore": event.version_before,
        "versionAfter": event.version_after,
        "before": _bounded(event.before),
        "after": _bounded(event.after),
        "reason": circumstances.reason,
        "requestId": circumstances.request_id,
        "importId": circumstances.import_id,
        "previous": head.hash,
    }
    entry["hash"] = entry_hash(entry)
    return canonical(entry), ChainHead(head.sequence + 1, entry["hash"])


def decode_entry(value: bytes | None) -> dict[str, Any]:
    """The entry.

    Raises:
        BrokenEntryError: garbage, or its hash is not that of what it says.
    """
    try:
        entry = json.loads(value or b"")
    except (ValueError, RecursionError) as error:
        raise BrokenEntryError(f"it is not JSON: {error}") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("sequence"), int):
        raise BrokenEntryError("it is no entry of the audit trail")
    if entry.get("hash") != entry_hash(entry):
        raise BrokenEntryError(f"entry {entry['sequence']} was changed: its hash is another")
    return entry


def entry_hash(entry: Mapping[str, Any]) -> str:
    """The hash that an entry must have; see rule 2."""
    said = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(canonical(said)).hexdigest()


def canonical(value: object) -> bytes:
    """The one JSON text of a value; see rule 2."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _bounded(document: Document | None) -> Document | None:
    if document is None:
        return None
    text = canonical(document)
    if len(text) <= DOCUMENT_MAX_BYTES:
        return document
    return {"omitted": "too large", "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
