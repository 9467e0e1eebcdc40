"""How a caller is known: by an API key, by another worker's word, or, in sandbox mode, by a header.

Rules:

1.  A key is looked up by its public part and recognised by its HMAC-SHA256 under the pepper, compared in
    constant time. Unknown, wrong, revoked, replaced and expired keys get the same answer.
2.  A request that another worker sent on carries that worker's word (see `vouching`): its caller is not
    looked up, or counted, a second time. Without a good one the headers of forwarding say nothing about it.
3.  `X-Tenant-Id` beside a key must be the key's tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from aiohttp import web

from app.decision.catalogue import HeldKey
from tables.api_keys import is_key_of, key_digest, pepper_mark, public_part
from web.access import ROLES, Caller, Role
from web.caller import API_KEY, TENANT_ID, Headers, tenant
from web.engine import Engine
from web.errors import forbidden, unauthorized
from web.forwarding import FORWARDED_BY
from web.instants import instant
from web.vouching import Voucher

log = structlog.get_logger(__name__)

_AUTHORIZATION = "Authorization"
_BEARER = "bearer "
_NO_KEY = f"Send an API key: {API_KEY}: <key>, or Authorization: Bearer <key>."
_BAD_KEY = "This API key does not hold: it is wrong, revoked or expired."


def voucher_of(engine: Engine) -> Voucher | None:
    """What signs callers for other workers; None in sandbox mode.

    Raises:
        config.settings.SettingsError: there is no pepper.
    """
    if engine.settings.auth_mode == "sandbox":
        return None
    return Voucher(engine.settings.pepper(), engine.clock_ms)


def authenticator_of(engine: Engine, voucher: Voucher | None) -> Authenticator:
    """How this worker knows its callers."""
    if voucher is None:
        return SandboxAuthenticator()
    return KeyAuthenticator(
        engine.settings.pepper(),
        lambda: engine.catalogue().api_keys,
        voucher,
        engine.clock_ms,
        engine.key_uses.note,
    )


class Authenticator(Protocol):
    """Finds out who calls."""

    def caller(self, request: web.Request) -> Caller:
        """The caller.

        Raises:
            ApiError: 401, 403 or 400.
        """
        ...


class SandboxAuthenticator:
    """Believes the tenant header: for one machine, where everybody is everybody's admin."""

    def caller(self, request: web.Request) -> Caller:
        """The caller that the header names."""
        headers = request.headers
        return Caller(tenant(headers), Role.ADMIN, frozenset(), "sandbox", forwarded=FORWARDED_BY in headers)


class KeyAuthenticator:
    """Knows callers by their API keys.

    Args:
        pepper: what keys are stored under.
        keys: the issued keys of the newest catalogue, by their public part.
        voucher: reads other workers' words.
        clock_ms: epoch ms.
        used: told of each use of a key: tenant, key id, epoch ms.
    """

    def __init__(
        self,
        pepper: str,
        keys: Callable[[], Mapping[str, tuple[HeldKey, ...]]],
        voucher: Voucher,
        clock_ms: Callable[[], int],
        used: Callable[[str, str, int], None],
    ) -> None:
        self._pepper = pepper
        self._mark = pepper_mark(pepper)
        self._said = False
        self._keys = keys
        self._voucher = voucher
        self._clock_ms = clock_ms
        self._used = used

    def caller(self, request: web.Request) -> Caller:
        """The caller that the key is of, or that another worker names."""
        headers = request.headers
        if FORWARDED_BY in headers:
            vouched = self._voucher.caller(request)
            if vouched is not None:
                return vouched
        held = self._held(_given(headers))
        if held is None:
            raise unauthorized(_BAD_KEY)
        caller = _caller_of(held)
        if any(named != caller.tenant_id for named in headers.getall(TENANT_ID, ())):
            raise forbidden(f"{TENANT_ID} is not the tenant of this API key.")
        self._used(caller.tenant_id, held.key.id, self._clock_ms())
        return caller

    def _held(self, text: str) -> HeldKey | None:
        lookup = public_part(text)
        digest = key_digest(text, self._pepper)
        now = instant(self._clock_ms())
        for held in self._keys().get(lookup or "", ()):
            ends = [at for at in (held.key.expires_at, held.credential.until) if at is not None]
            if is_key_of(digest, held.credential) and all(now < at for at in ends):
                return held
            self._check_pepper(held)
        return None

    def _check_pepper(self, held: HeldKey) -> None:
        """Say, once, that keys are made under another pepper: for their holders they are just wrong."""
        if held.credential.pepper in (None, self._mark) or self._said:
            return
        self._said = True
        log.warning(
            "an API key was made under another pepper than this worker's: set one API_KEY_PEPPER everywhere",
            tenant=held.tenant_id,
            key_id=held.key.id,
        )


def _given(headers: Headers) -> str:
    """The one key that the headers carry.

    Raises:
        ApiError: 401 without one, and when they carry several.
    """
    found = set(headers.getall(API_KEY, ()))
    for value in headers.getall(_AUTHORIZATION, ()):
        if value[: len(_BEARER)].lower() == _BEARER:
            found.add(value[len(_BEARER) :].strip())
    if len(found) > 1:
        raise unauthorized("Two different API keys were sent; send one.")
    if not found:
        raise unauthorized(_NO_KEY)
    return found.pop()


def _caller_of(held: HeldKey) -> Caller:
    key = held.key
    return Caller(held.tenant_id, ROLES[key.role], frozenset(key.scopes), f"key:{key.id}", key.id)
