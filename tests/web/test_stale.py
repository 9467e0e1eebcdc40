"""While the owner is away: answers from a standby, flagged, where the tenant allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tables.layout import customer_key
from tables.routing import partition_of
from tables.standby import Standby
from tests.web.harness import ENTITIES, HEADERS, PARTITIONS, Client, Worker, running, snapshot

Documents = Mapping[str, Sequence[Mapping[str, Any]]]

ALLOWED: Documents = {**ENTITIES, "tenant-settings": [{"id": "settings", "staleReads": True}]}
NUMBER = partition_of(customer_key("shop", "ann"), PARTITIONS)


@pytest.fixture
async def copying(tmp_path: Path) -> AsyncIterator[tuple[Worker, Client]]:
    """A worker that owns nothing and has a level copy of ann's partition; her owner is away."""
    with running(tmp_path / "owner") as owner:
        owner.know("ann")
        partition = owner.partition_for("ann")
        batch = partition.seal(owner.now_ms, 7)
        partition.written(batch, 0, len(batch.changes) - 1)
        assert partition.store is not None
        worker = Worker(tmp_path / "other")
        worker.catalogue = snapshot(ALLOWED)
        copy = Standby(NUMBER, partition.store)
        copy.note_end(copy.position, worker.now_ms, worker.now_ms)
        worker.standbys = {NUMBER: copy}
        async with worker.client("other") as client:
            yield worker, client


async def test_a_customer_is_answered_from_the_copy_and_flagged(copying: tuple[Worker, Client]) -> None:
    _, client = copying
    response = await client.get("/api/v1/customers/ann", headers=HEADERS)
    body = await response.json()
    assert (response.status, body["customerId"], body["degraded"]) == (200, "ann", "stale_state")


async def test_recommend_answers_on_channels_that_need_no_log_and_is_flagged(
    copying: tuple[Worker, Client],
) -> None:
    _, client = copying
    asked = {"customerId": "ann", "channelId": "web", "debug": True}
    response = await client.post("/api/v1/recommend", json=asked, headers=HEADERS)
    body = await response.json()
    assert (response.status, body["count"], body["meta"]["degraded"]) == (200, 2, "stale_state")
    assert "traceId" not in body
    push = await client.post(
        "/api/v1/recommend", json={"customerId": "ann", "channelId": "push"}, headers=HEADERS
    )
    assert (push.status, (await push.json())["code"]) == (503, "NOT_READY")


@pytest.mark.parametrize("path", ["/api/v1/customers/bob", "/api/v1/customers/ann"])
async def test_what_the_copy_cannot_know_is_not_answered(copying: tuple[Worker, Client], path: str) -> None:
    worker, client = copying
    if path.endswith("bob"):
        worker.standbys = dict.fromkeys(range(PARTITIONS), worker.standbys[NUMBER])
    else:
        worker.standbys = {NUMBER: None}
    response = await client.get(path, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")


async def test_writes_wait_for_the_owner(copying: tuple[Worker, Client]) -> None:
    _, client = copying
    click = {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}
    for method, path, body in (
        ("POST", "/api/v1/respond", click),
        ("PUT", "/api/v1/customers/ann", {}),
    ):
        response = await client.request(method, path, json=body, headers=HEADERS)
        assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")


async def test_without_the_tenants_consent_nothing_stale_is_answered(copying: tuple[Worker, Client]) -> None:
    worker, client = copying
    worker.catalogue = snapshot()
    response = await client.get("/api/v1/customers/ann", headers=HEADERS)
    assert response.status == 503


async def test_an_owner_that_recovers_leaves_it_to_the_copy(
    copying: tuple[Worker, Client], tmp_path: Path
) -> None:
    worker, client = copying
    with running(tmp_path / "new") as recovering:
        recovering.leased = False
        async with recovering.client("new") as owner:
            worker.owners = dict.fromkeys(range(PARTITIONS), str(owner.make_url("/")).rstrip("/"))
            response = await client.get("/api/v1/customers/ann", headers=HEADERS)
            assert (response.status, (await response.json())["degraded"]) == (200, "stale_state")
