"""A `scoreboard` that cannot be written: partitions are taken and answer, and its scores come once it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from config.settings import Settings
from config.topics import MESSAGE_MAX_BYTES, SCOREBOARD, topic_names
from tests.kafka.broker import Broker
from tests.kafka.clients import admin
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, eventually, running, settings_for
from tests.worker.shop import TENANT, import_shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

FLOW = {"id": "main", "name": "Main", "status": "active", "default": True, "unknownCustomers": "allow"}


async def take_records_of(settings: Settings, size_bytes: int) -> None:
    configs = {"max.message.bytes": str(size_bytes), "cleanup.policy": "compact"}
    topic = topic_names(settings.app_id)[SCOREBOARD]
    async with admin(settings.bootstrap_servers[0]) as client:
        await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])


async def test_partitions_are_taken_and_answer_without_it(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id, tmp_path, partitions=4)
    await import_shop(settings, **{"contact-policies": [], "decision-flows": [FLOW]})
    await take_records_of(settings, 20)
    url = f"http://127.0.0.1:{settings.web_port}"
    async with running(settings) as app, Client(url, TENANT) as client:
        for number in range(30):
            body = {"customerId": f"N{number}", "channelId": "push", "limit": 1}
            status, answer = await client.post("/api/v1/recommend", body)
            assert status == 200, answer

        async def kept() -> bool:
            return any(partition.counters.sums for partition in app.partitions)

        await eventually(kept, 20, "owners hear of totals")
        assert all(partition.ready and partition.doubt is None for partition in app.partitions)

        await take_records_of(settings, MESSAGE_MAX_BYTES)

        async def told() -> bool:
            page = (await client.get("/metrics"))[1]
            return "offertide_scoreboard_entries 0.0" not in page and not any(
                partition.counters.sums_untold for partition in app.partitions
            )

        await eventually(told, 30, "scores on the scoreboard")
