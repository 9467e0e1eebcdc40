"""The kinds of setting: how each is read from text, and how its bounds are said.

A setting's annotation carries one ``msgspec.Meta``. Its ranges and description are msgspec's own; ``extra``
holds what msgspec has no place for: ``unit``, ``allowed`` (a sentence fragment after "allowed is"), ``parse``
(text to value, raising ``ValueError`` for a value out of bounds) and ``secret``.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

#: What the name of every setting's variable begins with.
PREFIX = "OFFERTIDE_"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})")
_MIN_PEPPER_CHARS = 32


class Secret:
    """A value that never shows in logs, reprs or error messages; ``reveal()`` gives it to its one user."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Never log it and never put it into an error."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def number(low: int, high: int, unit: str, description: str) -> Meta:
    """A whole number from ``low`` to ``high``, both inclusive, counted in ``unit``."""
    bounded = Annotated[int, Meta(ge=low, le=high)]
    return Meta(
        ge=low,
        le=high,
        description=description,
        extra={
            "unit": unit,
            "allowed": f"a whole number from {low} to {high}",
            "parse": lambda text: msgspec.convert(text, bounded, strict=False),
        },
    )


def flag(description: str) -> Meta:
    """A switch, written ``true`` or ``false`` (``1`` and ``0`` are read too)."""
    return _meta(lambda text: msgspec.convert(text, bool, strict=False), "true or false", description)


def choice(options: tuple[str, ...], description: str) -> Meta:
    """One of a few lower-case words, read without regard to case."""

    def parse(text: str) -> str:
        if text.lower() not in options:
            raise ValueError(text)
        return text.lower()

    return _meta(parse, " or ".join(options), description)


def name(pattern: str, description: str) -> Meta:
    """Text that matches the whole of ``pattern``."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(text)
        return text

    return _meta(parse, f"text that matches {pattern}", description)


def directory(description: str) -> Meta:
    """A folder, made absolute; ``~`` is the user's home."""
    return _meta(lambda text: Path(text).expanduser().absolute(), "a path", description)


def host(description: str) -> Meta:
    """One host name or IP address, without scheme and port."""
    return _meta(_parse_host, "a host name or an IP address, without scheme or port", description)


def hosts(description: str) -> Meta:
    """One or more ``host:port``, separated by commas; given back without spaces."""
    allowed = "host:port, several separated by commas, each port from 1 to 65535"
    return _meta(
        lambda text: ",".join(_parse_host_port(one) for one in text.split(",")), allowed, description
    )


def web_address(description: str) -> Meta:
    """The root of an HTTP server, without path, query or credentials; given back without a closing slash."""

    def parse(text: str) -> str:
        url = urlsplit(text)
        extras = (url.path.strip("/"), url.query, url.fragment, url.username, url.password)
        # .port raises ValueError when it is out of range
        if url.scheme not in ("http", "https") or not url.hostname or any(extras) or url.port == 0:
            raise ValueError(text)
        return text.rstrip("/")

    return _meta(parse, "http://host:port or https://host:port, without a path", description)


def secret_text(description: str) -> Meta:
    """A secret of at least 32 characters, the strength of the SHA-256 it keys."""

    def parse(text: str) -> Secret:
        if len(text) < _MIN_PEPPER_CHARS:
            raise ValueError("too short")
        return Secret(text)

    return _meta(parse, f"at least {_MIN_PEPPER_CHARS} characters", description, secret=True)


def redis_address(description: str) -> Meta:
    """A Redis URL; secret, since it may carry a password."""

    def parse(text: str) -> Secret:
        url = urlsplit(text)
        reachable = url.path if url.scheme == "unix" else url.hostname
        if url.scheme not in ("redis", "rediss", "unix") or not reachable or url.port == 0:
            raise ValueError("not a Redis URL")
        return Secret(text)

    return _meta(parse, "redis://, rediss:// or unix:// with a host or a path", description, secret=True)


def as_text(value: object) -> str:
    """A value as it would be written in the environment; nothing for None."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_loopback(host_name: str) -> bool:
    """Whether only this machine can reach ``host_name``; a name other than localhost counts as reachable."""
    if host_name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host_name.strip("[]")).is_loopback
    except ValueError:
        return False


def _meta(parse: Callable[[str], object], allowed: str, description: str, secret: bool = False) -> Meta:
    extra = {"unit": "", "allowed": allowed, "parse": parse, "secret": secret}
    return Meta(description=description, extra=extra)


def _parse_host(text: str) -> str:
    if ":" in text:
        return str(ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]")))
    if _HOST.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _parse_host_port(text: str) -> str:
    host_name, _, port = text.strip().rpartition(":")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(text)
    if host_name.startswith("["):
        return f"[{_parse_host(host_name)}]:{int(port)}"
    if ":" in host_name:
        raise ValueError(text)  # an IPv6 address without brackets: its last group would be read as the port
    return f"{_parse_host(host_name)}:{int(port)}"


def as_variable(value: object) -> str:
    """A setting's value as its environment variable holds it, a secret's too."""
    if isinstance(value, Secret):
        return value.reveal()
    return str(value).lower() if isinstance(value, bool) else str(value)
