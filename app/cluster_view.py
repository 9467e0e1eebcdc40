"""One question to a broker, without a client: which cluster are you, and who is in it?"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from aiokafka.protocol.metadata import MetadataRequest_v2, MetadataResponse_v2

_TIMEOUT_S = 1.0
_LONGEST_ANSWER = 1_048_576
_NO_TOPICS: list[str] = []
_CORRELATION = 1


@dataclass(frozen=True)
class ClusterView:
    """A cluster as one of its brokers sees it. ``brokers`` are the ids of those that take requests."""

    cluster_id: str | None
    controller_id: int
    brokers: frozenset[int]


def ask_cluster(address: str, timeout_s: float = _TIMEOUT_S) -> ClusterView | None:
    """What the broker at ``address`` (``host:port``) answers within ``timeout_s`` seconds.

    None when it does not answer, or not as a Kafka broker does. Blocks; meant for waiting on a start.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            request = MetadataRequest_v2(_NO_TOPICS)
            header = request.build_request_header(_CORRELATION, "offertide-probe")
            body = header.encode() + request.encode()
            connection.sendall(struct.pack(">i", len(body)) + body)
            return _decode(_read_answer(connection))
    except (OSError, ValueError, struct.error):
        return None  # "not yet" is the answer


def _read_answer(connection: socket.socket) -> bytes:
    size: int = struct.unpack(">i", _read(connection, 4))[0]
    if not 4 <= size <= _LONGEST_ANSWER:
        raise ValueError(f"{size} bytes is no answer")
    answer = _read(connection, size)
    if answer[:4] != struct.pack(">i", _CORRELATION):
        raise ValueError("the answer belongs to another question")
    return answer[4:]


def _read(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionError("closed before the end of the answer")
        received += chunk
    return bytes(received)


def _decode(answer: bytes) -> ClusterView:
    response = MetadataResponse_v2.decode(answer)
    brokers = frozenset(broker[0] for broker in response.brokers)
    return ClusterView(response.cluster_id, response.controller_id, brokers)
