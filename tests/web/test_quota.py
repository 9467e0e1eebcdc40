"""Quotas: what is used, what a refusal says, and when there is room again. (Exactness: tests/worker.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.decision.evidence import encode_monthly
from app.decision.months import Monthly, month_ends_ms, month_of
from app.decision.notices import Score, encode_notice
from app.decision.state import Recommendation, Shown
from config.setting_types import Secret
from tables.layout import customer_key
from tables.overlays import Overlay
from tests.redis_server import RedisServer
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Client, Worker, running, snapshot
from tests.worker.harness import eventually
from web.errors import ApiError, pending

MONTH = month_of(NOW_MS)
BODY = {"customerId": "C1", "channelId": "web", "limit": 1}


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    with running(tmp_path) as worker:
        worker.know("C1")
        allow(worker, 10)
        yield worker


def allow(worker: Worker, quota: int | None) -> None:
    """Give the tenant this quota."""
    entity = {"id": "settings", "name": "Settings", "quotaPerMonth": quota}
    worker.catalogue = snapshot({**ENTITIES, "tenant-settings": [entity]})


def decided(worker: Worker, times: int, customer: str = "C1", at_ms: int = NOW_MS) -> None:
    """So many decisions are folded for a customer."""
    for _ in range(times):
        worker.partition_for(customer).counters.count_decision(TENANT, at_ms)


def told(worker: Worker, count: int, version: int = 1) -> None:
    """The scoreboard says that all workers decided so many."""
    totals = encode_monthly(Monthly(MONTH, count, 0))
    assert worker.scoreboard.apply(f"{TENANT}:decisions".encode(), encode_notice(Score(version, totals)))


async def recommend(client: Client) -> int:
    async with client.post("/api/v1/recommend", json=BODY, headers=HEADERS) as response:
        return int(response.status)


async def test_past_the_quota_nothing_is_decided_and_the_answer_says_until_when(worker: Worker) -> None:
    async with worker.client() as client:
        decided(worker, 9)
        assert await recommend(client) == 200
        decided(worker, 1, "C2")
        before = worker.metrics.registry.get_sample_value("offertide_decisions_total", {"flow": "flow"})
        async with client.post("/api/v1/recommend", json=BODY, headers=HEADERS) as response:
            assert response.status == 429
            left_s = (month_ends_ms(MONTH) - NOW_MS) // 1000
            assert response.headers["Retry-After"] == str(left_s)
            assert (await response.json())["code"] == "QUOTA_EXCEEDED"
        value = worker.metrics.registry.get_sample_value
        assert value("offertide_decisions_total", {"flow": "flow"}) == before
        assert value("offertide_quota_used", {"tenant": TENANT}) == 10
        assert value("offertide_quota_exceeded_total") == 1


async def test_what_others_told_counts(worker: Worker) -> None:
    async with worker.client() as client:
        decided(worker, 3)
        told(worker, 9)
        assert await recommend(client) == 200
        told(worker, 10, 2)
        assert await recommend(client) == 429


async def test_the_next_month_begins_anew(worker: Worker) -> None:
    async with worker.client() as client:
        decided(worker, 10)
        worker.now_ms = month_ends_ms(MONTH) - 1
        async with client.post("/api/v1/recommend", json=BODY, headers=HEADERS) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
        worker.now_ms += 1
        assert await recommend(client) == 200
        # Somebody's clock is ahead: the old month is still known.
        decided(worker, 1, at_ms=worker.now_ms)
        worker.now_ms -= 1
        assert await recommend(client) == 429


async def test_a_quota_that_changes_holds_from_the_next_call(worker: Worker) -> None:
    async with worker.client() as client:
        decided(worker, 5)
        allow(worker, 5)
        assert await recommend(client) == 429
        allow(worker, 6)
        assert await recommend(client) == 200
        allow(worker, 0)
        assert await recommend(client) == 429
        allow(worker, None)
        assert await recommend(client) == 200


async def test_answers_that_are_not_on_the_log_do_not_count(worker: Worker) -> None:
    allow(worker, 1)
    async with worker.client() as client:
        for _ in range(3):
            async with client.post("/api/v1/recommend", json=BODY, headers=HEADERS) as response:
                assert (await response.json())["meta"]["degraded"] == "log_unavailable"


async def test_decisions_under_way_count(worker: Worker) -> None:
    partition = worker.partition_for("C1")
    shown = (Shown(1, "vinyl", "vinyl-web", "web", "cat", None),)
    for number, each in enumerate([shown, (), shown], 1):
        recommendation = Recommendation(f"r{number}", NOW_MS, "flow", each)
        key = customer_key(TENANT, "C1")
        partition.overlays.add(Overlay(number, key, recommendation, ()))
    decided(worker, 8)
    async with worker.client() as client:
        assert await recommend(client) == 429
        partition.overlays.withdraw(3)
        assert await recommend(client) == 200
        partition.overlays.clear()
        assert await recommend(client) == 200


async def test_decisions_under_way_count_in_their_month(worker: Worker) -> None:
    ends_ms = month_ends_ms(MONTH)
    shown = Shown(1, "vinyl", "vinyl-web", "web", "cat", None)
    overlays = worker.partition_for("C1").overlays
    for number, at_ms in enumerate((ends_ms - 1, ends_ms, ends_ms), 1):
        recommendation = Recommendation(f"r{number}", at_ms, "flow", (shown,))
        overlays.add(Overlay(number, customer_key(TENANT, "C1"), recommendation, ()))
    used = worker.engine.quota.used
    assert [used(TENANT, month) for month in (MONTH - 1, MONTH, MONTH + 1)] == [0, 1, 2]
    overlays.folded(2)
    assert [used(TENANT, month) for month in (MONTH, MONTH + 1)] == [0, 1]


@asynccontextmanager
async def sharing(folder: Path, redis: RedisServer, **settings: Any) -> AsyncIterator[Worker]:
    """A worker that counts in Redis, and takes no busy machine for Redis being away."""
    options = {"redis_url": Secret(redis.url), "redis_timeout_ms": 3_000, **settings}
    with running(folder, **options) as worker:
        worker.limits.start()
        await up(worker)
        try:
            yield worker
        finally:
            await worker.limits.stop()


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[tuple[Worker, RedisServer]]:
    with RedisServer(tmp_path) as redis:
        async with sharing(tmp_path / "state", redis) as worker:
            yield worker, redis


async def up(worker: Worker) -> None:
    async def is_up() -> bool:
        assert worker.limits.link is not None
        return worker.limits.link.up

    await eventually(is_up, 20, "Redis is asked")


async def taken(worker: Worker, limit: int, error: Exception | None = None, logged: bool = False) -> bool:
    """Whether there was room for a decision, which then ended so."""
    try:
        async with worker.engine.quota.slot(TENANT, limit) as slot:
            slot.logged = logged
            if error is not None:
                raise error
    except ApiError as refused:
        return refused is error
    except RuntimeError:
        return True
    return True


async def test_redis_counts_what_is_logged_or_may_be(shared: tuple[Worker, RedisServer]) -> None:
    worker, _ = shared
    # Came out empty, or refused for certain: given back.
    assert [await taken(worker, 2) for _ in range(4)] == [True] * 4
    assert [await taken(worker, 2, ApiError(404, "NOT_FOUND", "")) for _ in range(4)] == [True] * 4
    # On the log, or it may be.
    assert await taken(worker, 2, logged=True)
    assert await taken(worker, 2, pending("?"))
    assert not await taken(worker, 2)
    assert await taken(worker, 3, RuntimeError())
    assert not await taken(worker, 3)


async def test_the_first_burst_finds_redis_ready(shared: tuple[Worker, RedisServer], tmp_path: Path) -> None:
    worker, redis = shared

    async def loaded() -> int:
        assert worker.limits.link is not None
        found = await worker.limits.link.client.info("commandstats")
        return int(found["cmdstat_script|load"]["calls"])

    async with sharing(tmp_path / "other", redis) as other:
        before = await loaded()
        calls = (taken((worker, other)[number % 2], 30, logged=True) for number in range(80))
        assert sum(await asyncio.gather(*calls)) == 30
        assert await loaded() == before, "who loads scripts in a burst is late, and counts alone"


async def test_redis_goes_on_from_what_the_worker_knows(shared: tuple[Worker, RedisServer]) -> None:
    worker, redis = shared
    told(worker, 7)
    assert [await taken(worker, 10, logged=True) for _ in range(4)] == [True, True, True, False]
    decided(worker, 12)
    assert [await taken(worker, 14, logged=True) for _ in range(3)] == [True, True, False]
    # Empty after a restart, and the worker knows twelve.
    redis.kill()
    redis.start()
    assert await taken(worker, 13)
    await up(worker)
    assert [await taken(worker, 14, logged=True) for _ in range(3)] == [True, True, False]


async def test_months_have_counts_of_their_own(shared: tuple[Worker, RedisServer]) -> None:
    worker, _ = shared
    assert [await taken(worker, 1, logged=True) for _ in range(2)] == [True, False]
    worker.now_ms = month_ends_ms(MONTH)
    assert [await taken(worker, 1, logged=True) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("away", [RedisServer.kill, RedisServer.freeze])
async def test_no_decision_fails_because_of_redis(
    shared: tuple[Worker, RedisServer], away: Callable[[RedisServer], None]
) -> None:
    worker, redis = shared
    away(redis)
    told(worker, 9)
    assert await taken(worker, 10, logged=True)
    told(worker, 10, 2)
    assert not await taken(worker, 10)
