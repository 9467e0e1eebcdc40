"""API keys as requests say them and as they are shown: never with what recognises them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from app.decision.entities import ApiKey, Credential, KeyScope
from app.decision.entities.base import Entity, Instant, Name, Ref, Status, Text
from app.decision.shape import Shape
from tables.api_key_changes import OVERLAP_MAX_MS

Version = Annotated[int, Meta(ge=0)]


class KeyFields(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a request says of a key."""

    shape: ClassVar[Shape] = Entity.shape

    name: Name
    role: Literal["viewer", "editor", "admin"]
    scopes: Annotated[tuple[KeyScope, ...], Meta(max_length=5)] = ()
    expires_at: Instant | None = None
    id: Ref | None = None
    key: Ref | None = None
    description: Text = ""
    status: Status = "active"
    version: Version | None = None


class KeyBody(msgspec.Struct, kw_only=True, rename="camel"):
    """A key as it is shown. `last_used_at` is up to a minute old, null when it was never used."""

    id: str
    key: str | None
    name: str
    description: str
    status: Status
    role: Literal["viewer", "editor", "admin"]
    scopes: tuple[KeyScope, ...]
    expires_at: datetime | None
    #: What each key of it begins with, newest last; an old one of a rotation says until when it holds.
    prefixes: list[KeyPrefix]
    last_used_at: str | None
    version: int
    created_at: datetime | None
    updated_at: datetime | None
    created_by: str | None


class KeyPrefix(msgspec.Struct, rename="camel"):
    """By what its holder can tell a key from others."""

    prefix: str
    until: datetime | None
    #: `other` when it was made under another pepper than this worker's, and so opens nothing here.
    pepper: Literal["other"] | None


class KeyList(msgspec.Struct, rename="camel"):
    """One page of the tenant's keys."""

    api_keys: list[KeyBody]
    total: Annotated[int, Meta(ge=0)]


class IssuedKeyBody(KeyBody, kw_only=True, rename="camel"):
    """A key, with the one text that opens: it is shown this once."""

    api_key: str


class RotateBody(msgspec.Struct, rename="camel"):
    """How long the key before goes on, ms; a day unless said."""

    overlap_ms: Annotated[int, Meta(ge=0, le=OVERLAP_MAX_MS)] | None = None


def key_body(key: ApiKey, last_used_at: str | None, own_pepper: str | None) -> KeyBody:
    """A key as it is shown. `own_pepper` is the mark of this worker's pepper, if it has one."""
    return KeyBody(
        id=key.id,
        key=key.key,
        name=key.name,
        description=key.description,
        status=key.status,
        role=key.role,
        scopes=key.scopes,
        expires_at=key.expires_at,
        prefixes=[_prefix(one, own_pepper) for one in key.credentials],
        last_used_at=last_used_at,
        version=key.version,
        created_at=key.created_at,
        updated_at=key.updated_at,
        created_by=key.created_by,
    )


def _prefix(credential: Credential, own_pepper: str | None) -> KeyPrefix:
    is_other = None not in (credential.pepper, own_pepper) and credential.pepper != own_pepper
    return KeyPrefix(f"otk_{credential.lookup}", credential.until, "other" if is_other else None)


def issued_body(body: KeyBody, text: str) -> IssuedKeyBody:
    """A key that was issued just now, with its text."""
    return IssuedKeyBody(**{name: getattr(body, name) for name in KeyBody.__struct_fields__}, api_key=text)
