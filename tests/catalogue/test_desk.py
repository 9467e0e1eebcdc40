"""Changing a catalogue from a running worker: each change once, in order, on the state as it is."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime

import msgspec
import pytest

from app.decision.entities import Category
from config.settings import Settings
from tables.audit_topic import read_audit
from tables.catalogue_desk import WAITING_MAX, DeskFullError, DeskUnseenError
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import ImportDiff, ImportPlan
from tables.catalogue_topic import read_to_now
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import shop
from tests.catalogue.desks import ANNA, RefusedError, add_one, at_once, delete, desk_of, expect, put
from tests.catalogue.test_import import put as put_record


async def test_a_change_is_in_the_workers_own_snapshot_when_it_is_answered(settings: Settings) -> None:
    async with desk_of(settings) as (desk, reader):
        for n in range(5):
            diff = await desk.commit("demo", put("jazz", f"Name {n}"), ANNA)
            held = reader.snapshot.tenant("demo").find("categories", "jazz", Category)
            assert isinstance(held, Category)
            assert (held.name, held.version) == (f"Name {n}", n + 1)
            assert diff.version == reader.snapshot.version


async def test_what_the_plan_refuses_passes_through_and_nothing_is_written(settings: Settings) -> None:
    async with desk_of(settings) as (desk, reader):
        await desk.commit("demo", put("jazz", "Jazz"), ANNA)
        version = reader.snapshot.version
        with pytest.raises(RefusedError, match="no blues"):
            await desk.commit("demo", delete("blues"), ANNA)
        assert (await desk.commit("demo", put("jazz", "Jazz"), ANNA)).version is None
        assert (await read_to_now(settings)).version == version


async def test_a_preview_changes_nothing(settings: Settings) -> None:
    async with desk_of(settings) as (desk, _):
        diff = await desk.preview("demo", put("jazz", "Jazz"))
        assert diff == ImportDiff(tenant="demo", updated=(("categories", "jazz"),))
        assert (await read_to_now(settings)).tenants == {}


async def test_changes_at_once_are_made_one_after_the_other(settings: Settings) -> None:
    async with desk_of(settings) as (desk, reader):
        done = await at_once(*(desk.commit("demo", add_one("count"), ANNA) for _ in range(20)))
        versions = [diff.version for diff in done if isinstance(diff, ImportDiff)]
        assert len(versions) == 20
        assert versions == sorted(set(versions), key=lambda version: version or 0)
        held = reader.snapshot.tenant("demo").find("categories", "count", Category)
        assert isinstance(held, Category)
        assert (held.name, held.version) == ("20", 20)


async def test_an_import_in_between_is_planned_on(settings: Settings) -> None:
    async with desk_of(settings) as (desk, reader):
        await desk.commit("demo", put("jazz", "Jazz"), ANNA)
        await CatalogueWriter(settings).import_tenant("demo", shop(3), "test")
        with pytest.raises(RefusedError, match="it has version 1"):
            await desk.commit("demo", expect("music", 0, "Mine"), ANNA)
        await CatalogueWriter(settings).import_tenant("demo", shop(3, "New"), "test")
        await desk.commit("demo", expect("music", 1, "Mine"), ANNA)
        assert len(reader.snapshot.tenant("demo").entities) == 5


async def test_a_caller_that_goes_away_does_not_stop_its_change(settings: Settings) -> None:
    async with desk_of(settings) as (desk, reader):
        await desk.commit("demo", put("jazz", "Jazz"), ANNA)
        task = asyncio.create_task(desk.commit("demo", put("jazz", "Blues"), ANNA))
        await asyncio.sleep(0)
        task.cancel()
        await desk.commit("demo", put("rock", "Rock"), ANNA)
        held = reader.snapshot.tenant("demo").find("categories", "jazz", Category)
        assert held is not None
        assert held.name == "Blues"


async def test_past_the_bound_a_change_is_refused_at_once(settings: Settings) -> None:
    gate = threading.Event()

    def held_up(current: TenantLog, now: datetime) -> ImportPlan:
        gate.wait(20)
        return put("jazz", "Jazz")(current, now)

    async with desk_of(settings) as (desk, _):
        waiting = [asyncio.create_task(desk.commit("demo", held_up, ANNA)) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(DeskFullError):
            await desk.commit("demo", held_up, ANNA)
        gate.set()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(done[0], ImportDiff)
        assert {type(one) for one in done} <= {ImportDiff, DeskFullError}


#: A record and the marker that commits it, as a program of tomorrow would write them.
UNREADABLE = b'{"v":9,"importId":"later","entity":{"of":"tomorrow"}}'
LATER = b'{"v":1,"importId":"later","count":1,"total":3,"digest":"","at":"2026-01-01T00:00:00Z","by":"later"}'


async def test_a_fact_of_a_tenant_with_a_record_that_cannot_be_read_is_written(settings: Settings) -> None:
    await CatalogueWriter(settings).import_tenant("demo", shop(1), "test")
    async with desk_of(settings) as (desk, reader):
        shown = reader.snapshot.version
        await put_record(settings, b"demo:offers:new", UNREADABLE)
        await put_record(settings, b"demo:!commit", LATER)
        for subject in ("ab12", "cd34"):
            await desk.record_fact("demo", ANNA, "customer.erased", subject)
        # The catalogue is as broken as before, and nobody says otherwise.
        assert reader.problem is not None
        assert reader.snapshot.version == shown
    told = [(one["action"], one["id"]) for one in (await read_audit(settings)).entries]
    assert told[-2:] == [("customer.erased", "ab12"), ("customer.erased", "cd34")]


async def test_a_change_that_the_snapshot_cannot_show_is_not_called_done(settings: Settings) -> None:
    hasty = msgspec.structs.replace(settings, publish_timeout_ms=2_000, read_your_writes_timeout_ms=2_000)
    await CatalogueWriter(settings).import_tenant("demo", shop(1), "test")
    async with desk_of(hasty) as (desk, reader):
        await put_record(settings, b"demo:offers:new", UNREADABLE)
        await put_record(settings, b"demo:!commit", LATER)
        with pytest.raises(DeskUnseenError, match="not in use here yet"):
            await desk.commit("demo", put("jazz", "Jazz"), ANNA)
        assert reader.snapshot.tenant("demo").find("categories", "jazz", Category) is None
