"""Whether the server will be able to listen."""

from __future__ import annotations

import socket


def probe_port(host: str, port: int) -> None:
    """Nothing, when the server will be able to listen there: better known before anything else has started.

    Raises:
        OSError: the address is taken, or not this machine's.
    """
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
