"""Editing the catalogue of a whole worker: what is answered is in use by then, on both brokers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kafka.broker import Broker
from tests.worker.harness import Client, running, settings_for
from tests.worker.shop import TENANT, import_shop

RECOMMEND = {"customerId": "ann", "channelId": "web", "limit": 20}


async def _offered(client: Client) -> set[str]:
    status, answer = await client.post("/api/v1/recommend", RECOMMEND)
    assert status == 200, answer
    return {one["offerId"] for one in answer["decisions"]}


async def test_what_is_edited_decides_the_next_request(broker: Broker, app_id: str, tmp_path: Path) -> None:
    settings = settings_for(broker, app_id, tmp_path)
    await import_shop(settings)
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        assert (await client.call("PUT", "/api/v1/customers/ann", {"attributes": {}}))[0] == 201
        before = await _offered(client)
        assert before
        await _edits(client, before)
        await _documents(client)


async def _edits(client: Client, before: set[str]) -> None:
    offer_id = sorted(before)[0]
    path = f"/api/v1/offers/{offer_id}"
    _, offer = await client.get(path)
    status, archived = await client.call("PUT", path, {**offer, "status": "archived"})
    assert (status, archived["version"]) == (200, offer["version"] + 1)
    assert await _offered(client) == before - {offer_id}
    status, answer = await client.call("PUT", path, offer)
    assert (status, answer["code"]) == (409, "CONFLICT"), "the version that was read is stale by now"
    status, restored = await client.call("PUT", path, {**archived, "status": "active"})
    assert status == 200, restored
    assert await _offered(client) == before
    status, answer = await client.call("DELETE", path)
    assert (status, answer["code"]) == (409, "CONFLICT"), "its creatives use it"
    made = await _added(client, offer["categoryId"])
    assert await _offered(client) == before | {made["id"]}
    creative = f"/api/v1/creatives/{made['id']}-web"
    assert (await client.call("DELETE", creative))[0] == 204
    assert (await client.call("DELETE", f"/api/v1/offers/{made['id']}"))[0] == 204
    assert (await client.get(f"/api/v1/offers/{made['id']}"))[0] == 404
    assert await _offered(client) == before


async def _added(client: Client, category_id: str) -> dict[str, Any]:
    body = {"name": "New", "categoryId": category_id, "priority": 99}
    status, made = await client.post("/api/v1/offers", body)
    assert status == 201, made
    creative = {"id": f"{made['id']}-web", "name": "N", "offerId": made["id"], "channelId": "web"}
    assert (await client.post("/api/v1/creatives", creative))[0] == 201
    return dict(made)


async def _documents(client: Client) -> None:
    _, document = await client.get("/api/v1/catalog/export")
    status, diff = await client.post("/api/v1/catalog/import?prune=true", document)
    assert (status, diff["version"]) == (200, None)
    assert (diff["created"], diff["updated"], diff["deleted"]) == ([], [], [])
    document["offers"][0]["priority"] = 12
    status, planned = await client.post("/api/v1/catalog/import?dryRun=true", document)
    assert (status, planned["version"], len(planned["updated"])) == (200, None, 1)
    status, done = await client.post("/api/v1/catalog/import", document)
    assert (status, done["updated"]) == (200, planned["updated"])
    assert done["version"] is not None
    _, offer = await client.get(f"/api/v1/offers/{document['offers'][0]['id']}")
    assert offer["priority"] == 12
