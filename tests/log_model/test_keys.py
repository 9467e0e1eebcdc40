"""A recommend's key on a failing log: whatever becomes of the first call, the key gets one decision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from app.decision.state import ANSWER_WINDOW_MS
from config.metrics import new_metrics
from config.topics import DECISIONS
from tables.layout import FENCE_KEY
from tests.log_model.clients import Fault
from tests.log_model.oracle import Oracle
from tests.log_model.shop import CUSTOMERS, TENANT, TOPICS, home_of
from tests.log_model.world import World
from web.errors import ApiError
from web.remembering import answer_once
from web.view import Call

CUSTOMER = CUSTOMERS[0]


@dataclass
class Asked:
    """A call with a key, as its view's methods see it."""

    tenant_id: str = TENANT
    headers: dict[str, str] = field(default_factory=lambda: {"Idempotency-Key": "k"})
    body: bytes = json.dumps({"customerId": CUSTOMER, "channelId": "push", "limit": 1}).encode()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, new_metrics(), batch_bytes=1_000_000)
    world.drain()
    yield world
    world.close()


def _begin(world: World) -> asyncio.Task[bytes]:
    engine = world.workers[world.assignment[home_of(CUSTOMER)]].engine
    return world.loop.create_task(answer_once(engine, cast(Call, Asked()), engine.catalogue()))


def _ask(world: World) -> bytes | None:
    """The answer, None when it is an error."""
    task = _begin(world)
    world.settle(20)
    try:
        return task.result()
    except ApiError:
        return None


def _decided(world: World) -> list[Any]:
    history = world.log.at(TOPICS[DECISIONS], home_of(CUSTOMER)).history
    return [json.loads(record.value or b"") for record in history if record.key != FENCE_KEY]


@pytest.mark.parametrize("then", ["goes on", "is killed", "gives its partitions away"])
@pytest.mark.parametrize("fault", [None, *Fault])
def test_one_key_is_one_decision(world: World, fault: Fault | None, then: str) -> None:
    name = world.assignment[home_of(CUSTOMER)]
    if fault is not None:
        world.workers[name].network.arm(fault, 0, (TOPICS[DECISIONS],))
    first = _ask(world)
    if then == "is killed" and name in world.workers:
        world.kill(name)
    if then == "gives its partitions away":
        world.rebalance({})
    world.drain()
    second = _ask(world)
    assert second is not None
    assert first in (None, second)
    assert _ask(world) == second
    (decided,) = _decided(world)
    assert json.loads(second) == decided["answer"]
    Oracle(world).check()


def test_a_partition_that_folds_nothing_forgets_answers_all_the_same(world: World) -> None:
    assert _ask(world) is not None
    world.drain()
    assert len(_stored(world)) == 2, "the answer, and its customer's list"
    world.settle(ANSWER_WINDOW_MS / 1_000 + 5)
    assert _stored(world) == []
    Oracle(world).check()


def _stored(world: World) -> list[bytes]:
    found = world.owned(home_of(CUSTOMER))
    assert found is not None
    store = found[1].store
    assert store is not None
    return [key for prefix in (b"K", b"V") for key, _ in store.scan(prefix)]
