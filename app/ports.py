"""Whether the server will be able to listen."""

from __future__ import annotations

import errno
import socket

from config.settings import Settings

_SETTINGS = ("OFFERTIDE_WEB_PORT", "OFFERTIDE_OPS_PORT")


def check_ports(settings: Settings) -> None:
    """Nothing, when a worker will be able to listen: better known before anything else has started.

    Raises:
        OSError: an address is taken, or not this machine's; its text names it and its setting.
    """
    for name, (host, port) in zip(_SETTINGS, settings.binds, strict=False):
        try:
            _bind(host, port)
        except OSError as error:
            why = "is taken by another process"
            if error.errno != errno.EADDRINUSE:
                why = f"cannot be used ({(error.strerror or str(error)).lower()})"
            raise OSError(f"{host}:{port} ({name}) {why}: free it, or set another") from error


def _bind(host: str, port: int) -> None:
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
