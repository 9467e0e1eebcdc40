"""The settings of a worker's HTTP server: what clients may hold and get, and where operations are."""

from __future__ import annotations

from typing import Annotated

from config.kafka_settings import KafkaSettings
from config.setting_types import flag, host, number


class HttpSettings(KafkaSettings, frozen=True, kw_only=True):
    """What clients may hold of a worker and are answered, and the bind of operations."""

    ops_host: Annotated[
        str | None, host("Address that /health, /ready and /metrics listen on; by default the API's.")
    ] = None
    ops_port: Annotated[
        int | None,
        number(1, 65_535, "port", "Port of /health, /ready and /metrics alone; by default the API's."),
    ] = None
    max_connections: Annotated[
        int,
        number(10, 100_000, "connections", "Connections open at once; one more is answered 503 and closed."),
    ] = 2_000
    head_limit_bytes: Annotated[
        int, number(2_048, 262_144, "bytes", "Largest request line with headers; a larger one is 400.")
    ] = 16_384
    head_timeout_ms: Annotated[
        int, number(100, 300_000, "milliseconds", "How long a request's line and headers may take to arrive.")
    ] = 10_000
    keep_alive_ms: Annotated[
        int,
        number(
            100, 3_600_000, "milliseconds", "How long a connection may idle; longer than a proxy before it."
        ),
    ] = 75_000
    recommendations_alias: Annotated[
        bool, flag("Whether recommend answers its decisions as `recommendations` too, for older clients.")
    ] = True
