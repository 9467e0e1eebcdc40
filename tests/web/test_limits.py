"""Rates: a moving window for each tenant, counted once a call; what a refusal says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.decision.validation import load_entity
from tests.web.harness import ENTITIES, HEADERS, Client, Worker, running, snapshot
from web.forwarding import FORWARDED_BY

COMMUNITY = {"tier": "community"}
BODY = {"customerId": "C1", "channelId": "web"}
CLICK = {"customerId": "C1", "creativeId": "vinyl-web", "outcomeType": "click"}


def with_settings(worker: Worker, settings: Mapping[str, Any]) -> None:
    """Give the tenant these settings."""
    entity = {"id": "settings", "name": "Settings", **settings}
    worker.catalogue = snapshot({**ENTITIES, "tenant-settings": [entity]})


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    with running(tmp_path) as worker:
        worker.know("C1")
        yield worker


async def answers(
    client: Client, calls: int, path: str = "/api/v1/customers/C1", **headers: str
) -> list[int]:
    """The statuses of so many GETs, one after the other."""
    found = []
    for _ in range(calls):
        async with client.get(path, headers={**HEADERS, **headers}) as response:
            found.append(response.status)
    return found


async def test_a_community_tenant_calls_a_hundred_times_in_any_minute(worker: Worker) -> None:
    with_settings(worker, COMMUNITY)
    async with worker.client() as client:
        assert await answers(client, 60) == [200] * 60
        worker.now_ms += 20_000
        assert await answers(client, 50) == [200] * 40 + [429] * 10
        # The first sixty leave the window together, the others not before 20 s later.
        worker.now_ms += 39_999
        assert await answers(client, 1) == [429]
        worker.now_ms += 1
        assert await answers(client, 61) == [200] * 60 + [429]
        worker.now_ms += 20_000
        assert await answers(client, 41) == [200] * 40 + [429]


async def test_a_refusal_says_when_a_call_is_admitted_and_it_is(worker: Worker) -> None:
    with_settings(worker, COMMUNITY)
    async with worker.client() as client:
        await answers(client, 100)
        worker.now_ms += 12_500
        async with client.get("/api/v1/customers/C1", headers=HEADERS) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "48"
            body = await response.json()
        assert set(body) == {"error", "code", "details", "requestId"}
        assert (body["code"], body["requestId"]) == ("RATE_LIMITED", response.headers["X-Request-Id"])
        worker.now_ms += 48_000
        assert await answers(client, 1) == [200]


@pytest.mark.parametrize(
    ("settings", "limit"),
    [({"tier": "professional"}, 1_000), ({"rateLimitPerMin": 7}, 7), ({"rateLimitPerMin": 1}, 1)],
)
async def test_each_tier_has_its_rate(worker: Worker, settings: dict[str, Any], limit: int) -> None:
    with_settings(worker, settings)
    async with worker.client() as client:
        assert (await answers(client, limit + 1))[-2:] == [200, 429]


async def test_who_has_no_rate_calls_at_any_and_keeps_no_window(worker: Worker) -> None:
    async with worker.client() as client:
        assert set(await answers(client, 1_200)) == {200}
    assert worker.metrics.registry.get_sample_value("offertide_rate_windows") == 0


async def respond(client: Client, path: str) -> int:
    async with client.post(f"/api/v1/{path}", json=CLICK, headers=HEADERS) as response:
        return int(response.status)


async def test_responses_have_a_window_of_their_own(worker: Worker) -> None:
    with_settings(worker, COMMUNITY)
    async with worker.client() as client:
        await answers(client, 101)
        # There is no broker: what is admitted is answered 503.
        worker.leased = False
        paths = ["respond", "capture"]
        assert {await respond(client, paths[n % 2]) for n in range(500)} == {503}
        assert await respond(client, "respond") == 429
        assert await respond(client, "capture") == 429
        worker.now_ms += 60_000
        assert await respond(client, "capture") == 503


async def test_an_enterprise_tenants_own_rate_counts_responses_too(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 3})
    worker.leased = False
    async with worker.client() as client:
        assert await respond(client, "respond") == 503
        assert await answers(client, 1) == [503]
        assert await respond(client, "capture") == 503
        assert await respond(client, "respond") == 429
        assert await answers(client, 1) == [429]


async def test_what_another_worker_sent_on_is_not_counted_again(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 2})
    sent_on = {FORWARDED_BY: f"{worker.settings.app_id} http://127.0.0.1:1"}
    async with worker.client() as client:
        assert await answers(client, 5, **sent_on) == [200] * 5
        assert await answers(client, 3) == [200, 200, 429]
        assert await answers(client, 1, **sent_on) == [200]


async def test_operators_and_unknown_callers_do_not_count(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 1})
    async with worker.client() as client:
        for path in ("/health", "/metrics", "/nothing"):
            assert 429 not in await answers(client, 5, path)
        for _ in range(5):
            async with client.get("/api/v1/customers/C1") as response:
                assert response.status == 401
        assert await answers(client, 2) == [200, 429]


async def test_whatever_is_answered_counts(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 2})
    async with worker.client() as client:
        async with client.post("/api/v1/recommend", json={}, headers=HEADERS) as response:
            assert response.status == 400
        assert await answers(client, 2, "/api/v1/customers/nobody") == [404, 429]


async def test_tenants_do_not_share_a_window(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 1})
    limited = load_entity("tenant-settings", {"id": "s", "name": "S", "rateLimitPerMin": 1})
    assert not isinstance(limited, list)
    worker.catalogue = worker.catalogue.with_changes("other", {("tenant-settings", "s"): limited}, 8)
    async with worker.client() as client:
        assert await answers(client, 2) == [200, 429]
        assert await answers(client, 2, **{"X-Tenant-Id": "other"}) == [404, 429]


async def test_a_rate_that_changes_holds_from_the_next_call(worker: Worker) -> None:
    with_settings(worker, {"rateLimitPerMin": 4})
    async with worker.client() as client:
        for _ in range(4):
            await answers(client, 1)
            worker.now_ms += 1_000
        with_settings(worker, {"rateLimitPerMin": 2})
        async with client.get("/api/v1/customers/C1", headers=HEADERS) as response:
            # Not before three of the four have left.
            assert (response.status, response.headers["Retry-After"]) == (429, "58")
        with_settings(worker, {"rateLimitPerMin": 5})
        assert await answers(client, 2) == [200, 429]
        with_settings(worker, {})
        assert await answers(client, 10) == [200] * 10


async def test_windows_that_are_empty_are_dropped(worker: Worker) -> None:
    with_settings(worker, COMMUNITY)
    async with worker.client() as client:
        await answers(client, 2)
        worker.leased = False
        worker.now_ms += 1
        await respond(client, "respond")
        value = worker.metrics.registry.get_sample_value
        assert value("offertide_rate_windows") == 2
        worker.now_ms += 60_001
        await respond(client, "respond")
        assert value("offertide_rate_windows") == 1


def test_a_rate_without_effect_is_refused() -> None:
    found = load_entity(
        "tenant-settings", {"id": "s", "name": "S", "tier": "community", "rateLimitPerMin": 5}
    )
    assert isinstance(found, list)
    assert [problem.path for problem in found] == ["rateLimitPerMin"]
    assert not isinstance(
        load_entity("tenant-settings", {"id": "s", "name": "S", "rateLimitPerMin": 5}), list
    )
