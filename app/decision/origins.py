"""The web origins that a tenant lets call it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from app.decision.problems import Problem

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_ORIGIN = re.compile(rf"(https?)://(?:{_NAME}|\[[0-9a-f:.]{{2,45}}\])(?::([1-9][0-9]{{0,4}}))?")
_OWN_PORT = {"http": 80, "https": 443}
_LAST_PORT = 65_535


def origin_problems(origins: Sequence[str], field: str) -> Iterator[Problem]:
    """What is wrong with the origins of `field`: each must be exactly what a browser sends."""
    for i, origin in enumerate(origins):
        found = _ORIGIN.fullmatch(origin)
        if found is None:
            shape = "scheme://host or scheme://host:port in lower case, without path, wildcard or slash"
            yield Problem(f"{field}[{i}]", f"must be one origin, {shape}, as the browser sends it")
        elif found[2] is not None and int(found[2]) > _LAST_PORT:
            yield Problem(f"{field}[{i}]", f"has a port past {_LAST_PORT}")
        elif found[2] is not None and int(found[2]) == _OWN_PORT[found[1]]:
            yield Problem(f"{field}[{i}]", f"must leave out the port: browsers do, it being {found[1]}'s own")
        elif origin in origins[:i]:
            yield Problem(f"{field}[{i}]", f"{origin} is listed twice")


def tenants_by_origin(listed: Mapping[str, Sequence[str]]) -> Mapping[str, frozenset[str]]:
    """The tenants that list each origin.

    Args:
        listed: the origins of each tenant, by its id.
    """
    found: dict[str, frozenset[str]] = {}
    for tenant_id, origins in listed.items():
        for origin in origins:
            found[origin] = found.get(origin, frozenset()) | {tenant_id}
    return MappingProxyType(found)
