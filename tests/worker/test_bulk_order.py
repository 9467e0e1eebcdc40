"""What a bulk load does when Kafka takes some of it: order within a partition above all."""

from __future__ import annotations

import json
from pathlib import Path

from app.provision import ensure_topics
from config.metrics import new_metrics
from config.topics import topic_names
from tables.layout import customer_key
from tables.publisher import Publisher
from tables.routing import partition_of
from tests.kafka.broker import Broker
from tests.worker.harness import settings_for
from web.bulk_loading import CHUNK_LINES, Loading
from web.ndjson import Line

PARTITIONS = 8


def line(number: int, customer_id: str) -> Line:
    return Line(number, json.dumps({"customerId": customer_id}).encode())


def two_partitions() -> tuple[str, str]:
    """Two customers whose partitions differ."""
    names = [f"c{n}" for n in range(100)]
    first = partition_of(customer_key("shop", names[0]), PARTITIONS)
    other = next(one for one in names if partition_of(customer_key("shop", one), PARTITIONS) != first)
    return names[0], other


async def test_no_line_overtakes_an_earlier_one_that_kafka_did_not_take(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    """Kafka comes back in the middle of a body: whose earlier line failed waits for the next attempt."""
    settings = settings_for(broker, app_id, tmp_path)
    await ensure_topics(settings)
    publisher = Publisher(
        settings.bootstrap_servers,
        app_id,
        topic_names(app_id),
        PARTITIONS,
        5_000,
        settings.idempotent_producer,
    )
    ann, bob = two_partitions()
    metrics = new_metrics()
    loading = Loading(publisher, PARTITIONS, "shop", metrics)
    try:
        for number in range(1, CHUNK_LINES + 1):
            await loading.take(line(number, ann))
        await loading.take(line(CHUNK_LINES + 1, ann))
        assert loading.held_lines == 1, "one chunk is on its way, one line is held"
        await loading.settled()
        await publisher.start()
        await loading.take(line(CHUNK_LINES + 2, bob))
        await loading.finish()
    finally:
        await publisher.stop()
    assert [one.status for one in loading.results] == ["retry"] * (CHUNK_LINES + 1) + ["accepted"]
    assert loading.certain
    assert metrics.bulk_lines_total.labels("retry")._value.get() == CHUNK_LINES + 1
