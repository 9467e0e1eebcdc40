"""The audit trail and the desk of running workers, on either broker; two workers on Apache Kafka."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.decision.entities import Category
from tables.audit_actor import Actor
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster
from tests.worker.harness import Client, eventually, running, settings_for
from tests.worker.shop import TENANT, import_shop
from tests.worker.test_routing import two_workers


def added(current: TenantLog, now: datetime) -> ImportPlan:
    """A plan: one more category."""
    key = ("categories", "jazz")
    changes = {key: Category(id="jazz", name="Jazz", version=1, created_at=now)}
    return ImportPlan(changes, len(current.entities) + 1, ImportDiff(tenant=TENANT, created=(key,)))


async def test_a_change_and_its_entry_are_there_when_it_is_answered(
    broker: Broker, app_id: str, tmp_path: Path
) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings) as app, Client(settings.worker_url, TENANT) as client:
        before = (await audit(client))["total"]
        await app.desk.commit(TENANT, added, Actor("key_1", "Anna"), request_id="r1")
        assert app.catalogue.snapshot.tenant(TENANT).find("categories", "jazz", Category) is not None
        found = await audit(client, "?limit=1")
        assert (found["total"], found["chain"]["verified"]) == (before + 1, True)
        assert (found["audit"][0]["id"], found["audit"][0]["requestId"]) == ("jazz", "r1")


@pytest.mark.kafka
async def test_any_worker_answers_the_same_trail(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    async with two_workers(kafka_cluster, app_id, tmp_path) as ((first, one), (_, two)):
        before = await audit(one)
        assert before["chain"]["verified"]
        await import_shop(first.settings, categories=[{"id": "music", "name": "Renamed"}])

        async def same() -> bool:
            left, right = [await audit(client, "?id=music&limit=2") for client in (one, two)]
            return bool(left == right and left["chain"]["sequence"] == before["chain"]["sequence"] + 1)

        await eventually(same, 20, "both workers have the change")
        entry = (await audit(two, "?id=music&limit=1"))["audit"][0]
        assert (entry["action"], entry["after"]["name"]) == ("updated", "Renamed")


async def audit(client: Client, query: str = "") -> dict[str, Any]:
    """The answer's body."""
    status, body = await client.get(f"/api/v1/audit{query}")
    assert status == 200, body
    found: dict[str, Any] = body
    return found
