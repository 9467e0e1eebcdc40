"""Desks that write at the same time, one that was frozen, and a broker that is away: on Apache Kafka only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from app.decision.entities import Category
from config.settings import Settings
from tables.audit_records import GENESIS
from tables.catalogue_commit import CatalogueCommit, CatalogueWriteError
from tables.catalogue_desk import CatalogueDesk
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_topic import CatalogueReadError, read_to_now
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import settings_for, shop, with_topic
from tests.catalogue.desks import ANNA, RefusedError, add_one, audited, delete, desk_of, expect, put
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster

pytestmark = pytest.mark.kafka


async def counted(settings: Settings) -> int:
    """What the counter says, everything committed included."""
    entity = (await read_to_now(settings)).tenant("demo").entities["categories", "count"]
    assert int(entity.name) == entity.version
    return entity.version


async def test_two_desks_at_once_lose_nothing(kafka_settings: Settings) -> None:
    settings = kafka_settings
    versions: list[int] = []

    unsure: list[CatalogueWriteError] = []

    async def write(desk: CatalogueDesk) -> int:
        done = 0
        for _ in range(15):
            try:
                diff = await desk.commit("demo", add_one("count"), ANNA)
                versions.append(diff.version or 0)
                done += 1
            except CatalogueWriteError as error:
                unsure.extend([error][: not error.certain])
        return done

    async with desk_of(settings) as (one, _), desk_of(settings) as (other, _):
        done = await asyncio.gather(write(one), write(other))
    assert (all(done), unsure) == (True, [])
    assert await counted(settings) == sum(done)
    assert len(set(versions)) == sum(done)
    await audited(settings)


async def test_a_desk_that_slept_cannot_overwrite(kafka_settings: Settings) -> None:
    settings = kafka_settings
    async with desk_of(settings) as (asleep, reader), desk_of(settings) as (awake, _):
        await asleep.commit("demo", put("jazz", "First"), ANNA)
        # Frozen: what others write it neither reads nor hears of.
        await reader.stop()
        await awake.commit("demo", expect("jazz", 1, "Second"), ANNA)
        await reader.start()
        with pytest.raises(RefusedError, match="it has version 2"):
            await asleep.commit("demo", expect("jazz", 1, "Zombie"), ANNA)
        await asleep.commit("demo", expect("jazz", 2, "Third"), ANNA)
    entity = (await read_to_now(settings)).tenant("demo").entities["categories", "jazz"]
    assert (entity.name, entity.version) == ("Third", 3)


async def test_a_desk_that_froze_between_plan_and_write_cannot_overwrite(kafka_settings: Settings) -> None:
    settings = kafka_settings
    gate, planned = threading.Event(), threading.Event()

    def slowly(current: TenantLog, now: datetime) -> ImportPlan:
        plan = add_one("count")(current, now)
        planned.set()
        assert gate.wait(30)
        return plan

    async with desk_of(settings) as (frozen, _), desk_of(settings) as (awake, _):
        await frozen.commit("demo", add_one("count"), ANNA)
        thawing = asyncio.create_task(frozen.commit("demo", slowly, ANNA))
        assert await asyncio.to_thread(planned.wait, 30)
        for _ in range(3):
            await awake.commit("demo", add_one("count"), ANNA)
        gate.set()
        await thawing
    assert await counted(settings) == 5
    await audited(settings)


async def test_a_refusal_and_an_unchanged_plan_count_on_the_present_state_only(
    kafka_settings: Settings,
) -> None:
    settings = kafka_settings
    async with desk_of(settings) as (stale, reader), desk_of(settings) as (other, _):
        await stale.commit("demo", put("jazz", "Jazz"), ANNA)
        await reader.stop()
        await other.commit("demo", put("jazz", "Blues"), ANNA)
        await other.commit("demo", put("rock", "Rock"), ANNA)
        await reader.start()
        assert (await stale.commit("demo", put("jazz", "Jazz"), ANNA)).version is not None
        await reader.stop()
        await other.commit("demo", put("folk", "Folk"), ANNA)
        await reader.start()
        await stale.commit("demo", delete("folk"), ANNA)
    names = {entity.name for entity in (await read_to_now(settings)).tenant("demo").entities.values()}
    assert names == {"Jazz", "Rock"}


async def test_a_lost_acknowledgement_of_a_change_that_landed_is_success(
    kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_of(kafka_settings) as (desk, _):
        await desk.commit("demo", add_one("count"), ANNA)
        lose_answers(monkeypatch, after=True)
        diff = await desk.commit("demo", add_one("count"), ANNA)
        assert diff.version is not None
        await desk.commit("demo", add_one("count"), ANNA)
    assert await counted(kafka_settings) == 3


async def test_a_change_that_never_landed_is_made_again(
    kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk_of(kafka_settings) as (desk, _):
        await desk.commit("demo", add_one("count"), ANNA)
        lose_answers(monkeypatch, after=False)
        await desk.commit("demo", add_one("count"), ANNA)
    assert await counted(kafka_settings) == 2
    assert len((await audited(kafka_settings)).entries) == 2


def lose_answers(monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """Lose the next acknowledgement, of a write that happened or not."""
    write = CatalogueCommit.write
    lost: list[object] = []

    async def losing(self: CatalogueCommit, *args: Any) -> int:
        if lost:
            return await write(self, *args)
        lost.append(self)
        if after:
            await write(self, *args)
        raise CatalogueWriteError("the connection broke", certain=False)

    monkeypatch.setattr(CatalogueCommit, "write", losing)


async def test_imports_of_the_command_line_and_desks_share_one_chain(kafka_settings: Settings) -> None:
    settings = kafka_settings
    async with desk_of(settings) as (desk, _):
        await desk.commit("demo", put("jazz", "Jazz"), ANNA, request_id="r1", reason="spring")
        await CatalogueWriter(settings).import_tenant("demo", shop(2), "maria")
        await desk.record_fact("demo", ANNA, "customer.erased", "ab12", request_id="r2")
        await CatalogueWriter(settings).import_tenant("demo", shop(1), "maria", prune=True)
        head = (await read_to_now(settings)).tenant("demo").audit_head
    trail = await audited(settings)
    assert trail.chains["demo"].head == head != GENESIS
    told = [(one["actor"]["id"], one["action"], one["id"]) for one in trail.entries]
    assert told == [
        ("key_1", "created", "jazz"),
        ("cli:maria", "created", "music"),
        ("cli:maria", "created", "offer-0000"),
        ("cli:maria", "created", "offer-0001"),
        ("key_1", "customer.erased", "ab12"),
        ("cli:maria", "deleted", "jazz"),
        ("cli:maria", "deleted", "offer-0001"),
    ]
    assert trail.entries[0]["requestId"] == "r1"
    assert trail.entries[0]["reason"] == "spring"
    assert trail.entries[0]["after"] == {"id": "jazz", "name": "Jazz"}


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[KafkaCluster]:
    """A node that may be killed."""
    with KafkaCluster(nodes=1) as cluster:
        yield cluster


async def test_without_a_broker_a_change_is_a_clear_error_and_goes_on_afterwards(
    own_cluster: KafkaCluster, app_id: str
) -> None:
    settings = await with_topic(
        settings_for(Broker(own_cluster.bootstrap, "kafka"), app_id, publish_timeout_ms=2_000)
    )
    async with desk_of(settings) as (desk, reader):
        await desk.commit("demo", add_one("count"), ANNA)
        own_cluster.kill(1)
        done = 0
        for _ in range(2):
            async with asyncio.timeout(60):
                with pytest.raises((CatalogueWriteError, CatalogueReadError)):
                    await desk.commit("demo", add_one("count"), ANNA)
        await asyncio.to_thread(own_cluster.start_node, 1)
        while not done:
            try:
                diff = await desk.commit("demo", add_one("count"), ANNA)
                assert isinstance(diff, ImportDiff)
                done += 1
            except (CatalogueWriteError, CatalogueReadError):
                continue
        held = reader.snapshot.tenant("demo").find("categories", "count", Category)
        assert isinstance(held, Category)
    assert await counted(settings) == held.version
    await audited(settings)
