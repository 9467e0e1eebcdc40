"""An application of the test's own on either broker, its catalogue's topic created."""

from __future__ import annotations

import pytest

from config.settings import Settings
from tests.catalogue.building import settings_for, with_topic
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster


@pytest.fixture
async def settings(broker: Broker, app_id: str) -> Settings:
    """On the embedded broker and on Apache Kafka."""
    return await with_topic(settings_for(broker, app_id))


@pytest.fixture
async def kafka_settings(kafka_cluster: KafkaCluster, app_id: str) -> Settings:
    """On Apache Kafka only."""
    return await with_topic(settings_for(Broker(kafka_cluster.bootstrap, "kafka"), app_id))
