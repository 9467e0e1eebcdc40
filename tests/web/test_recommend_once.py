"""Recommend with an idempotency key: one decision, one answer, for whoever asks again within ten minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse

from app.decision.state import ANSWER_WINDOW_MS, ANSWERS_MAX
from tables.publisher import PublishError
from tables.standby import Standby
from tests.web.hand_log import Log
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, Client, Worker, running, snapshot
from tests.web.test_recommend import PATH
from web.deciding import log_decision
from web.view import encode

PUSH = {"customerId": "ann", "channelId": "push"}
WEB = {"customerId": "ann", "channelId": "web"}


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker that knows ann, and whose log is the test's."""
    with running(tmp_path) as made:
        made.know("ann")
        made.use(Log(made))
        yield made


@pytest.fixture
def log(worker: Worker) -> Log:
    """The worker's log."""
    found = worker.publisher
    assert isinstance(found, Log)
    return found


async def ask(client: Client, body: dict[str, Any] = PUSH, key: str = "k") -> ClientResponse:
    found: ClientResponse = await client.post(PATH, json=body, headers={**HEADERS, "Idempotency-Key": key})
    return found


async def answered(client: Client, body: dict[str, Any] = PUSH, key: str = "k") -> bytes:
    """The bytes of an answer, which must be one."""
    response = await ask(client, body, key)
    found = await response.read()
    assert response.status == 200, found
    return found


def count(worker: Worker, outcome: str) -> float:
    found = worker.metrics.registry.get_sample_value(
        "offertide_idempotent_answers_total", {"outcome": outcome}
    )
    return found or 0.0


def reopen(worker: Worker) -> None:
    """What a crash, or another worker, leaves: the store alone."""
    for partition in worker.partitions:
        store = partition.store
        assert store is not None
        phase = partition.phase
        partition.attach(store)
        partition.phase = phase


@pytest.mark.parametrize("when", ["on the log", "folded", "stored", "after a crash"])
async def test_the_same_key_gets_the_same_bytes_and_decides_nothing(
    client: Client, worker: Worker, log: Log, when: str
) -> None:
    first = await answered(client)
    if when != "on the log":
        log.fold()
    if when == "after a crash":
        reopen(worker)
    decided = worker.metrics.registry.get_sample_value("offertide_decisions_total", {"flow": "flow"})
    assert await answered(client) == first
    again = worker.metrics.registry.get_sample_value("offertide_decisions_total", {"flow": "flow"})
    assert (len(log.records), again) == (1, decided)
    log.fold()
    state = await (await client.get("/api/v1/customers/ann", headers=HEADERS)).json()
    assert state["contacts"]["total"] == 1
    assert await answered(client, key="other") != first


async def test_calls_at_the_same_time_share_one_decision(client: Client, worker: Worker, log: Log) -> None:
    log.open.clear()
    asked = [asyncio.create_task(answered(client)) for _ in range(20)]
    await log.asked.wait()
    assert not any(one.done() for one in asked)
    log.open.set()
    assert len(set(await asyncio.gather(*asked))) == 1
    assert len(log.records) == 1
    assert count(worker, "shared") == 19


async def test_an_empty_answer_is_remembered_too_and_is_nothing_to_respond_to(
    client: Client, worker: Worker, log: Log
) -> None:
    none = {**WEB, "excludeOffers": ["vinyl", "tape"]}
    first = await answered(client, none)
    assert b'"count":0' in first
    for _ in range(2):
        assert await answered(client, WEB) == first, "the key stands for the call, not for its body"
        log.fold()
    customer = worker.partition_for("ann").customer(b"shop:ann")
    assert customer is not None
    assert (len(customer.recommendations), len(log.records)) == (0, 1)


async def test_it_is_remembered_for_ten_minutes(client: Client, worker: Worker, log: Log) -> None:
    first = await answered(client, WEB)
    worker.now_ms = NOW_MS + ANSWER_WINDOW_MS - 1
    assert await answered(client, WEB) == first
    log.fold()
    assert await answered(client, WEB) == first
    worker.now_ms += 1
    second = await answered(client, WEB)
    assert second != first
    log.fold()
    assert await answered(client, WEB) == second


async def test_an_overlay_of_longer_ago_promises_nothing(client: Client, worker: Worker, log: Log) -> None:
    first = await answered(client, WEB)
    worker.now_ms += ANSWER_WINDOW_MS
    assert await answered(client, WEB) != first, "not folded all the while"


async def test_a_key_is_its_tenants_and_customers_own(client: Client, worker: Worker, log: Log) -> None:
    worker.know("bob")
    first = await answered(client, WEB)
    bobs = await answered(client, {**WEB, "customerId": "bob"})
    assert bobs != first
    log.fold()
    assert await answered(client, {**WEB, "customerId": "bob"}) == bobs
    rivals = {"X-Tenant-Id": "rival", "Idempotency-Key": "k"}
    rival = await client.post(PATH, json={"customerId": "ann"}, headers=rivals)
    assert rival.status == 404, "it has no flow of its own"


async def test_the_customers_oldest_go(client: Client, worker: Worker, log: Log) -> None:
    given = [await answered(client, WEB, f"k{number}") for number in range(ANSWERS_MAX + 1)]
    log.fold()
    assert count(worker, "pushed_out") == 1
    for number in range(1, ANSWERS_MAX + 1):
        assert await answered(client, WEB, f"k{number}") == given[number]
    assert await answered(client, WEB, "k0") != given[0]


async def test_what_certainly_failed_is_not_remembered(client: Client, worker: Worker, log: Log) -> None:
    assert (await ask(client, {**PUSH, "customerId": "nobody"})).status == 404
    assert (await ask(client, {**PUSH, "decisionFlowId": "draft"})).status == 404
    log.failure, log.landed = PublishError("refused", certain=True), False
    refused = await ask(client)
    assert (refused.status, (await refused.json())["code"]) == (503, "NOT_READY")
    log.failure, log.landed = None, True
    first = await answered(client)
    assert b'"count":1' in first
    assert await answered(client) == first


@pytest.mark.parametrize("landed", [True, False])
async def test_after_pending_the_log_says_what_the_answer_is(
    client: Client, worker: Worker, log: Log, landed: bool
) -> None:
    log.failure, log.landed = PublishError("no answer", certain=False), landed
    for _ in range(2):
        pending = await ask(client)
        body = await pending.json()
        assert (pending.status, body["code"]) == (503, "PENDING")
        assert "Retry with the same Idempotency-Key" in body["error"]
    log.failure, log.landed = None, True
    if landed:
        log.fold()
    else:
        # The partition is taken anew: behind the new fence nothing of before lands any more.
        reopen(worker)
    worker.know("ann")
    first = await answered(client)
    assert b'"count":1' in first, "the one contact a day is free, or is this answer's"
    log.fold()
    assert (await answered(client), len(log.records)) == (first, 1)


async def test_who_waits_for_a_failed_call_fails_as_it_does(client: Client, worker: Worker, log: Log) -> None:
    log.open.clear()
    log.failure, log.landed = PublishError("refused", certain=True), False
    asked = [asyncio.create_task(ask(client)) for _ in range(3)]
    await log.asked.wait()
    log.open.set()
    assert {(await one).status for one in asked} == {503}
    assert len(worker.partition_for("ann").overlays) == 0


async def test_a_call_that_was_broken_off_leaves_its_fate_to_the_log(
    client: Client, worker: Worker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("web.remembering.log_decision", stopped)
    with pytest.raises(ClientError):
        await ask(client)
    monkeypatch.setattr("web.remembering.log_decision", log_decision)
    pending = await ask(client)
    assert (pending.status, (await pending.json())["code"]) == (503, "PENDING")
    assert count(worker, "wait_expired") == 0


async def test_waiting_for_another_call_ends(tmp_path: Path) -> None:
    with running(tmp_path, publish_timeout_ms=1, read_your_writes_timeout_ms=1) as worker:
        worker.know("ann")
        log = Log(worker)
        worker.use(log)
        async with worker.client() as client:
            log.open.clear()
            first = asyncio.create_task(answered(client))
            await log.asked.wait()
            second = await ask(client)
            assert (second.status, (await second.json())["code"]) == (503, "PENDING")
            assert count(worker, "wait_expired") == 1
            log.open.set()
            assert await first == await answered(client)


async def test_an_answer_without_the_log_is_flagged_and_forgotten(
    client: Client, worker: Worker, log: Log
) -> None:
    log.failure, log.landed = PublishError("refused", certain=True), False
    first = await answered(client, WEB)
    assert b"log_unavailable" in first
    log.failure, log.landed = None, True
    second = await answered(client, WEB)
    assert b"log_unavailable" not in second
    assert second != first


async def test_an_answer_that_cannot_be_remembered_is_not_given(worker: Worker, log: Log) -> None:
    wide = [{**one, "content": {"text": "x" * 300_000}} for one in ENTITIES["creatives"]]
    worker.catalogue = snapshot({**ENTITIES, "creatives": wide})
    async with worker.client("wide") as client:
        refused = await ask(client, WEB)
        body = await refused.json()
        assert (refused.status, body["details"][0]["field"]) == (400, "Idempotency-Key")
        assert len(worker.partition_for("ann").overlays) == len(log.records) == 0
        keyless = await client.post(PATH, json=WEB, headers=HEADERS)
        assert keyless.status == 200


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_a_bad_key_is_named_with_all_else(client: Client, key: str) -> None:
    response = await ask(client, {"limit": 0, "channel": "nowhere"}, key)
    fields = {detail["field"] for detail in (await response.json())["details"]}
    assert (response.status, fields) == (400, {"Idempotency-Key", "customerId", "limit", "channel"})


async def test_a_call_without_a_key_leaves_nothing_behind(client: Client, worker: Worker, log: Log) -> None:
    body = encode(PUSH)
    headers = {**HEADERS, "Content-Type": "application/json"}
    first = await (await client.post(PATH, data=body, headers=headers)).read()
    assert first != await (await client.post(PATH, data=body, headers=headers)).read()
    log.fold()
    store = worker.partition_for("ann").store
    assert store is not None
    assert b"answer" not in log.records[0][1]
    assert not [key for prefix in (b"V", b"K") for key, _ in store.scan(prefix)]


async def test_a_standby_gives_again_what_it_knows(worker: Worker, log: Log, tmp_path: Path) -> None:
    async with worker.client("owner") as client:
        first = await answered(client, WEB)
    log.fold()
    partition = worker.partition_for("ann")
    assert partition.store is not None
    other = Worker(tmp_path / "other")
    other.catalogue = snapshot({**ENTITIES, "tenant-settings": [{"id": "settings", "staleReads": True}]})
    copy = Standby(partition.number, partition.store)
    copy.note_end(copy.position, other.now_ms, other.now_ms)
    other.standbys = {partition.number: copy}
    async with other.client("other") as client:
        assert await answered(client, WEB) == first
        fresh = await answered(client, WEB, "another")
        assert b"stale_state" in fresh
        assert await answered(client, WEB, "another") != fresh, "it cannot be remembered there"
