"""Quotas in Redis and whole calls: one key takes one place, and what may be on the log is not given back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tables.publisher import PublishError
from tests.redis_server import RedisServer
from tests.web.hand_log import Log
from tests.web.harness import HEADERS, Client, Worker
from tests.web.test_quota import allow, sharing, taken
from tests.worker.harness import eventually

PATH = "/api/v1/recommend"


@pytest.fixture
def redis(tmp_path: Path) -> Any:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
async def worker(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Worker]:
    async with sharing(tmp_path / "state", redis) as made:
        begin(made)
        yield made


def begin(worker: Worker) -> Log:
    """It knows ann, has the test's log, and one decision left."""
    worker.know("ann")
    log = Log(worker)
    worker.use(log)
    allow(worker, 1)
    return log


async def ask(client: Client, key: str | None) -> tuple[int, bytes]:
    headers = HEADERS if key is None else {**HEADERS, "Idempotency-Key": key}
    body = {"customerId": "ann", "channelId": "web"}
    async with client.post(PATH, json=body, headers=headers) as response:
        return response.status, await response.read()


async def test_calls_with_one_key_take_the_last_decision_together(worker: Worker) -> None:
    async with worker.client() as client:
        found = await asyncio.gather(*(ask(client, "k") for _ in range(6)))
        assert {status for status, _ in found} == {200}
        assert len({answer for _, answer in found}) == 1
        assert (await ask(client, "other"))[0] == 429
        assert (await ask(client, "k"))[0] == 200
    assert len(worker.engine.turns) == 0


async def test_as_many_keys_as_decisions_all_get_theirs(worker: Worker) -> None:
    allow(worker, 10)
    async with worker.client() as client:
        asked = [(f"k{number % 10}", ask(client, f"k{number % 10}")) for number in range(80)]
        found = await asyncio.gather(*(call for _, call in asked))
        assert Counter(status for status, _ in found) == {200: 80}
        answers = {(key, answer) for (key, _), (_, answer) in zip(asked, found, strict=True)}
        assert len(answers) == 10
        assert (await ask(client, "k10"))[0] == 429


async def test_a_refused_call_lets_the_next_with_its_key_try(worker: Worker) -> None:
    allow(worker, 0)
    async with worker.client() as client:
        found = await asyncio.gather(*(ask(client, "k") for _ in range(6)))
        assert {status for status, _ in found} == {429}
        assert len(worker.engine.turns) == 0
        allow(worker, 1)
        assert (await ask(client, "k"))[0] == 200


async def test_waiting_for_another_calls_place_ends(redis: RedisServer, tmp_path: Path) -> None:
    short = {"publish_timeout_ms": 1, "read_your_writes_timeout_ms": 1, "redis_timeout_ms": 10_000}
    async with sharing(tmp_path / "state", redis, **short) as worker:
        begin(worker)
        redis.freeze()
        async with worker.client() as client:
            first = asyncio.create_task(ask(client, "k"))

            async def asked() -> bool:
                return len(worker.engine.turns) == 1

            await eventually(asked, 20, "the first call asks Redis", 0.01)
            status, body = await ask(client, "k")
            assert (status, b'"PENDING"' in body) == (503, True)
            value = worker.metrics.registry.get_sample_value
            assert value("offertide_idempotent_answers_total", {"outcome": "wait_expired"}) == 1
            redis.thaw()
            assert (await first)[0] == 200
            assert await ask(client, "k") == await first


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("certain", [True, False])
async def test_only_what_certainly_is_not_on_the_log_is_given_back(
    worker: Worker, redis: RedisServer, tmp_path: Path, key: str | None, certain: bool
) -> None:
    log = worker.publisher
    assert isinstance(log, Log)
    log.failure, log.landed = PublishError("no answer", certain=certain), not certain
    async with worker.client() as client:
        status, answer = await ask(client, key)
    assert (status, b"log_unavailable" in answer) == (200, True)
    async with sharing(tmp_path / "other", redis) as other:
        assert await taken(other, 1) == certain
