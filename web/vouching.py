"""One worker's word for another: who calls, signed, so that an owner need not ask again.

Rules:

1.  The word holds for one request: its method, its path and query, its request id and its body; and for
    5 minutes by the two machines' clocks. The body is compared when it is there.
2.  It is signed with HMAC-SHA256 under a key derived from the pepper, which only workers have. A word that
    does not hold is no error: the request is then looked at like any other.
3.  It stands for the caller's key, which does not go along.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable

import msgspec
from aiohttp import web

from web.access import Area, Caller, Role
from web.caller import REQUEST_ID
from web.errors import unauthorized

#: Carries the word on a request that is sent on.
VOUCHED = "X-Offertide-Caller"

#: Clocks of two machines, and the way between them.
FRESH_MS = 300_000

_PURPOSE = b"offertide: a worker's word for a caller"


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What a worker says of a caller, and when, epoch ms."""

    at_ms: int
    tenant_id: str
    role: int
    scopes: tuple[Area, ...]
    actor: str
    key_id: str | None
    body_digest: bytes


_decode = msgspec.msgpack.Decoder(Word).decode


class Voucher:
    """Gives and takes words.

    Args:
        pepper: the application's.
        clock_ms: epoch ms.
    """

    def __init__(self, pepper: str, clock_ms: Callable[[], int]) -> None:
        self._key = hmac.new(pepper.encode(), _PURPOSE, hashlib.sha256).digest()
        self._clock_ms = clock_ms

    def word(self, request: web.Request, caller: Caller, request_id: str, body: bytes) -> str:
        """The header's value for a request that is sent on under this id, with this body."""
        said = Word(
            self._clock_ms(),
            caller.tenant_id,
            int(caller.role),
            tuple(sorted(caller.scopes)),
            caller.actor,
            caller.key_id,
            hashlib.sha256(body).digest(),
        )
        text = urlsafe_b64encode(msgspec.msgpack.encode(said))
        return f"{text.decode()}.{self._sign(text, request, request_id)}"

    def caller(self, request: web.Request) -> Caller | None:
        """Who calls, by the word that the request carries; None when it carries none that holds."""
        given = request.headers.get(VOUCHED)
        if given is None:
            return None
        text, _, signature = given.partition(".")
        own = self._sign(
            text.encode("utf-8", "surrogateescape"), request, request.headers.get(REQUEST_ID, "")
        )
        if not hmac.compare_digest(own.encode(), signature.encode("utf-8", "surrogateescape")):
            return None
        # Signed by a worker, so it can be read.
        said = _decode(urlsafe_b64decode(text))
        if abs(self._clock_ms() - said.at_ms) > FRESH_MS:
            return None
        return Caller(
            said.tenant_id,
            Role(said.role),
            frozenset(said.scopes),
            said.actor,
            said.key_id,
            True,
            said.body_digest,
        )

    def _sign(self, text: bytes, request: web.Request, request_id: str) -> str:
        about = f"{request.method} {request.rel_url.raw_path_qs} {request_id} ".encode(
            "utf-8", "surrogateescape"
        )
        return hmac.new(self._key, about + text, hashlib.sha256).hexdigest()


def check_body(caller: Caller, body: bytes) -> None:
    """Raises ApiError, 401, when another worker vouched for the caller with another body."""
    if caller.body_digest is not None and hashlib.sha256(body).digest() != caller.body_digest:
        raise unauthorized("The worker that sent this on did not sign this body.")
