"""API keys: how they look, and what of them is stored.

    otk_<12 public characters>_<43 secret characters>

The public part finds the key; the whole is recognised by its HMAC-SHA256 (RFC 2104) under the pepper, and
only that is stored: neither the topic nor a store, an export or a log holds a key. 256 bits of chance need no
slow hash. The pepper is the operator's secret: who reads the topic alone cannot even try keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from app.decision.entities import Credential

KEY_PREFIX = "otk_"
_PUBLIC = "abcdefghijklmnopqrstuvwxyz0123456789"
_PUBLIC_LENGTH = 12
_KEY = re.compile(r"otk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32


class IssuedKey(NamedTuple):
    """A new key: the text to show once, and what is stored of it."""

    text: str
    credential: Credential


def issue_key(pepper: str) -> IssuedKey:
    """A new key of 256 random bits."""
    lookup = "".join(secrets.choice(_PUBLIC) for _ in range(_PUBLIC_LENGTH))
    text = f"{KEY_PREFIX}{lookup}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return IssuedKey(
        text, Credential(lookup=lookup, digest=key_digest(text, pepper), pepper=pepper_mark(pepper))
    )


def key_digest(text: str, pepper: str) -> str:
    """The HMAC-SHA256 of a key under the pepper, hexadecimal."""
    return hmac.new(pepper.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def pepper_mark(pepper: str) -> str:
    """By what a pepper is told from others: 32 bits, of which no way leads back to one of 32 characters."""
    return hmac.new(pepper.encode(), b"offertide pepper", hashlib.sha256).hexdigest()[:8]


def public_part(text: str) -> str | None:
    """What a key is looked up by; None for a text that is no key."""
    found = _KEY.fullmatch(text)
    return None if found is None else found.group(1)


def is_key_of(digest: str, credential: Credential) -> bool:
    """Whether a digest is the credential's; takes the same time wherever they differ."""
    return hmac.compare_digest(digest, credential.digest)
