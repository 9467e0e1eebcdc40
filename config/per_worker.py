"""The settings of each of several workers on one machine, from the settings they share.

1.  Worker i listens on the port + i, is advertised at its port + i, and keeps its stores in `worker-i`. So
    it is with the port of operations, if they have one.
2.  Everything else is each worker's own: n workers have n times the caches.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from config.setting_types import PREFIX
from config.settings import Settings, SettingsError

_LAST_PORT = 65_535


def per_worker(settings: Settings, count: int) -> tuple[Settings, ...]:
    """The settings of workers 0 to ``count`` - 1; the given ones themselves when there is but one.

    Raises:
        SettingsError: a port would be past the last one, or the advertised address has none to count from.
    """
    if count == 1:
        return (settings,)
    problems = [*_port_problems(settings, count), *_address_problems(settings, count)]
    if problems:
        raise SettingsError(tuple(problems))
    return tuple(
        msgspec.structs.replace(
            settings,
            web_port=settings.web_port + number,
            ops_port=None if settings.ops_port is None else settings.ops_port + number,
            data_dir=settings.data_dir / f"worker-{number}",
            advertised_url=_shifted(settings.advertised_url, number),
        )
        for number in range(count)
    )


def _port_problems(settings: Settings, count: int) -> list[str]:
    highest, problems = _LAST_PORT - count + 1, []
    allowed = f"at most {highest} with {count} workers, each on the next port"
    for name, port in (("WEB_PORT", settings.web_port), ("OPS_PORT", settings.ops_port)):
        if port is not None and port > highest:
            problems.append(f"{PREFIX}{name}: {port} given, allowed is {allowed}")
    if settings.ops_port is not None and abs(settings.ops_port - settings.web_port) < count:
        apart = f"{count} or more from {PREFIX}WEB_PORT with {count} workers, each on the next port"
        problems.append(f"{PREFIX}OPS_PORT: {settings.ops_port} given, allowed is {apart}")
    return problems


def _address_problems(settings: Settings, count: int) -> list[str]:
    if settings.advertised_url is None:
        return []
    port = urlsplit(settings.advertised_url).port
    highest = _LAST_PORT - count + 1
    if port is not None and port <= highest:
        return []
    allowed = (
        f"an address with a port of at most {highest} with {count} workers, each advertised at the next port"
    )
    return [f"{PREFIX}ADVERTISED_URL: {settings.advertised_url} given, allowed is {allowed}"]


def _shifted(address: str | None, number: int) -> str | None:
    if address is None:
        return None
    url = urlsplit(address)
    host, _, port = url.netloc.rpartition(":")
    return url._replace(netloc=f"{host}:{int(port) + number}").geturl()
