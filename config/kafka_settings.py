"""The settings of a worker's place on Kafka: its application, topics, group and time-outs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from config.setting_types import flag, hosts, name, number


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which brokers, which topics, and how long to wait for either."""

    app_id: Annotated[
        str, name(r"[A-Za-z0-9._-]{1,100}", "Name of the consumer group and prefix of its topics.")
    ] = "offertide"
    broker: Annotated[str, hosts("Kafka brokers to ask first.")] = "127.0.0.1:9092"
    partitions: Annotated[
        int, number(1, 1_000, "partitions", "Partitions of each customer topic; fixed once data is stored.")
    ] = 24
    replicas: Annotated[
        int, number(1, 7, "copies", "Copies of each topic that Kafka keeps; 3 in production.")
    ] = 1
    min_insync_replicas: Annotated[
        int, number(1, 7, "copies", "Copies that must hold a record before it counts as written.")
    ] = 1
    standby_replicas: Annotated[
        int,
        number(
            0, 6, "copies", "Copies of each partition that other workers keep level, to take over at once."
        ),
    ] = 1
    fetch_wait_ms: Annotated[
        int, number(1, 5_000, "milliseconds", "How long a fetch waits at the broker for records.")
    ] = 20
    batch_max_records: Annotated[
        int, number(1, 10_000, "records", "Most records of a partition folded in one batch.")
    ] = 1_000
    session_timeout_ms: Annotated[
        int,
        number(
            1_000,
            1_800_000,
            "milliseconds",
            "Silence after which a worker's partitions go to others; Kafka wants 6000 or more.",
        ),
    ] = 10_000
    heartbeat_interval_ms: Annotated[
        int,
        number(
            100, 600_000, "milliseconds", "Time between heartbeats; at most a third of the session time-out."
        ),
    ] = 1_000
    rebalance_timeout_ms: Annotated[
        int,
        number(
            1_000, 1_800_000, "milliseconds", "Time workers have to join when partitions are shared out anew."
        ),
    ] = 10_000
    publish_timeout_ms: Annotated[
        int, number(100, 300_000, "milliseconds", "How long a request waits for Kafka to take its record.")
    ] = 5_000
    broker_start_timeout_ms: Annotated[
        int,
        number(
            0, 3_600_000, "milliseconds", "How long a start without a reachable broker retries, then exits."
        ),
    ] = 60_000
    idempotent_producer: Annotated[
        bool,
        flag("Whether the broker removes duplicates of a retried write; false for the embedded broker only."),
    ] = True
