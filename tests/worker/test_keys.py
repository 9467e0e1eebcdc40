"""API keys over two workers on Apache Kafka: made anywhere, known everywhere, ended everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.setting_types import Secret
from config.settings import Settings
from tables.api_keys import issue_key
from tables.catalogue_document import Entry
from tables.catalogue_writer import CatalogueWriter
from tests.kafka.cluster import KafkaCluster
from tests.web.keyed import PEPPER, new_key
from tests.worker.harness import Client, eventually
from tests.worker.shop import TENANT
from tests.worker.test_routing import two_workers
from web.caller import API_KEY

pytestmark = [pytest.mark.kafka]

#: What is promised is a second; how long a busy machine may take before the test calls it broken.
PATIENCE_S = 20.0


async def first_key(settings: Settings) -> str:
    """An admin's key, put on the topic as the command line does."""
    key, text = new_key("admin", "root")
    await CatalogueWriter(settings).import_tenant(TENANT, [Entry("api-keys", "keys", key)], by="test")
    return text


async def statuses(clients: tuple[Client, Client], key: str, path: str = "/api/v1/offers") -> list[int]:
    """What each worker answers to a key."""
    return [(await one.call("GET", path, **{API_KEY: key}))[0] for one in clients]


async def until(clients: tuple[Client, Client], key: str, status: int, what: str) -> None:
    async def all_say() -> bool:
        return await statuses(clients, key) == [status, status]

    await eventually(all_say, PATIENCE_S, what)


async def test_keys_are_known_and_ended_on_both_workers(
    kafka_cluster: KafkaCluster, app_id: str, tmp_path: Path
) -> None:
    keyed: dict[str, Any] = {"auth_mode": "api_key", "api_key_pepper": Secret(PEPPER)}
    async with two_workers(kafka_cluster, app_id, tmp_path, **keyed) as ((first, one), (_, two)):
        both = (one, two)
        assert await statuses(both, issue_key(PEPPER).text) == [401, 401]
        root = await first_key(first.settings)
        await until(both, root, 200, "the first key opens on both")
        for maker, other in ((one, two), (two, one)):
            status, made = await maker.call(
                "POST", "/api/v1/api-keys", {"name": "shop", "role": "editor"}, **{API_KEY: root}
            )
            assert status == 201, made
            key, name = made["apiKey"], f"/api/v1/api-keys/{made['id']}"
            await until(both, key, 200, "the new key opens on both")
            # Whoever owns the customer believes the worker that was asked.
            for number in range(12):
                for client in both:
                    status, body = await client.call(
                        "PUT", f"/api/v1/customers/C{number}", {"tags": ["x"]}, **{API_KEY: key}
                    )
                    assert status in (200, 201), body
            status, turned = await other.call("POST", f"{name}/rotate", {"overlapMs": 0}, **{API_KEY: root})
            assert status == 200, turned
            await until(both, key, 401, "the replaced key ended on both")
            await until(both, turned["apiKey"], 200, "the new one opens on both")
            await until_used(both, root, name)
            assert (await maker.call("DELETE", name, **{API_KEY: root}))[0] == 204
            await until(both, turned["apiKey"], 401, "the deleted key ended on both")


async def until_used(clients: tuple[Client, Client], root: str, name: str) -> None:
    async def all_show() -> bool:
        shown = [(await one.call("GET", name, **{API_KEY: root}))[1] for one in clients]
        return all(body.get("lastUsedAt") is not None for body in shown)

    await eventually(all_show, PATIENCE_S, "both know of the use")
