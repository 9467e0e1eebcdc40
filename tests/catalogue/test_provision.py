"""Before anything joins: waiting for a broker, and topics as they must be."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from msgspec.structs import replace

from app.child import free_ports
from app.provision import (
    BrokerUnreachableError,
    TopicCreationError,
    TopicMismatchError,
    ensure_topics,
    topic_exists,
    wait_for_broker,
)
from config.settings import Settings
from config.topics import AUDIT, CATALOG, topic_specs
from tests.catalogue.building import settings_for
from tests.kafka.broker import Broker
from tests.kafka.clients import admin, create_topic
from tests.kafka.cluster import KafkaCluster


async def partitions(settings: Settings) -> dict[str, int]:
    """The partition counts of the application's topics."""
    async with admin(settings.broker) as client:
        topics = await client.describe_topics(None)
    return {topic["topic"]: len(topic["partitions"]) for topic in topics if settings.app_id in topic["topic"]}


async def test_every_topic_is_created_once(broker: Broker, app_id: str) -> None:
    settings = settings_for(broker, app_id, partitions=3)
    await wait_for_broker(settings)
    await asyncio.gather(*(ensure_topics(settings) for _ in range(3)))
    await ensure_topics(settings)
    assert await partitions(settings) == {spec.name: spec.partitions for spec in topic_specs(app_id, 3, 1, 1)}


async def test_looking_for_a_topic_does_not_create_it(broker: Broker, app_id: str) -> None:
    settings = settings_for(broker, app_id)
    assert not await topic_exists(settings, CATALOG)
    assert await partitions(settings) == {}
    await ensure_topics(settings, only=[CATALOG])
    assert await topic_exists(settings, CATALOG)
    assert await partitions(settings) == {f"{app_id}.catalog": 1}


async def test_other_partition_counts_are_named_and_left_alone(broker: Broker, app_id: str) -> None:
    settings = settings_for(broker, app_id, partitions=4)
    await create_topic(broker.bootstrap, f"{app_id}.events", partitions=3)
    await create_topic(broker.bootstrap, f"{app_id}.catalog", partitions=2)
    with pytest.raises(TopicMismatchError) as caught:
        await ensure_topics(settings)
    message = str(caught.value)
    assert f"{app_id}.events has 3, not 4" in message
    assert f"{app_id}.catalog has 2, not 1" in message
    assert "OFFERTIDE_PARTITIONS" in message
    assert len(await partitions(settings)) == 2


@pytest.mark.kafka
async def test_topics_are_compacted_where_they_must_be(kafka_cluster: KafkaCluster, app_id: str) -> None:
    settings = settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id)
    await ensure_topics(settings, only=[CATALOG])
    found = await configured(settings, "catalog")
    assert found["cleanup.policy"] == "compact"
    assert found["unclean.leader.election.enable"] == "false"


@pytest.mark.kafka
async def test_the_audit_trail_is_kept_for_ever(kafka_cluster: KafkaCluster, app_id: str) -> None:
    settings = settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id)
    await ensure_topics(settings, only=[AUDIT])
    found = await configured(settings, "audit")
    assert (found["cleanup.policy"], found["retention.ms"], found["retention.bytes"]) == (
        "delete",
        "-1",
        "-1",
    )


async def configured(settings: Settings, topic: str) -> dict[str, str]:
    """The broker's settings of a topic."""
    resource = ConfigResource(ConfigResourceType.TOPIC, f"{settings.app_id}.{topic}")
    async with admin(settings.broker) as client:
        answers = await client.describe_configs([resource])
    return {entry[0]: entry[1] for answer in answers for topic in answer.resources for entry in topic[4]}


@pytest.mark.kafka
async def test_more_copies_than_brokers_is_said(
    kafka_cluster: KafkaCluster, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.provision._TOPICS_TIMEOUT_S", 1.0)
    settings = replace(settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id), replicas=3)
    with pytest.raises(TopicCreationError, match=r"(?i)replication factor"):
        await ensure_topics(settings)


async def test_no_broker_is_one_error_with_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.provision._SAY_EVERY_S", 0.5)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    settings = Settings(broker=address, broker_start_timeout_ms=1_400)
    started = time.monotonic()
    with (
        structlog.testing.capture_logs() as lines,
        pytest.raises(BrokerUnreachableError, match=f"no Kafka broker answers at {address}"),
    ):
        await wait_for_broker(settings)
    assert 1.3 < time.monotonic() - started < 4
    assert [line["event"] for line in lines] == ["waiting for Kafka"] * 2
    with pytest.raises(BrokerUnreachableError):
        await ensure_topics(settings)
    with pytest.raises(BrokerUnreachableError):
        await wait_for_broker(replace(settings, broker_start_timeout_ms=0))


async def test_one_broker_of_several_is_enough(broker: Broker, app_id: str) -> None:
    settings = settings_for(broker, app_id)
    several = replace(settings, broker=f"127.0.0.1:{free_ports(1)[0]},{broker.bootstrap}")
    await wait_for_broker(several)
    await ensure_topics(several, only=[CATALOG])
    assert await topic_exists(settings, CATALOG)
