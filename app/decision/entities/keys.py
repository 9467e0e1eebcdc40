"""API keys, as they are stored: never the key itself, only what a key can be recognised by."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Instant, Name, Part

KeyScope = Literal["decide", "respond", "ingest", "campaigns", "catalogue"]

#: A key in use and the one that replaces it.
CREDENTIALS_MAX = 2


class Credential(Part, frozen=True, kw_only=True):
    """What one issued key is recognised by: its public part, and the HMAC-SHA256 of the whole, hexadecimal.

    After `until` it does not hold any more: a newer one has replaced it. `pepper` tells peppers apart without
    telling this one; it is None where it was not noted yet.
    """

    lookup: Annotated[str, Meta(pattern=r"^[a-z0-9]{12}(?![\s\S])")]
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?![\s\S])")]
    until: Instant | None = None
    pepper: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(?![\s\S])")] | None = None


class ApiKey(Entity, frozen=True, kw_only=True):
    """Who may call: a role, narrowed to scopes when it names any. `credentials` are the server's."""

    name: Name
    role: Literal["viewer", "editor", "admin"]
    scopes: Annotated[tuple[KeyScope, ...], Meta(max_length=5)] = ()
    expires_at: Instant | None = None
    credentials: Annotated[tuple[Credential, ...], Meta(max_length=CREDENTIALS_MAX)] = ()
