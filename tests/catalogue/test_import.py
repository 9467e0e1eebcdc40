"""From the writer to every reader, on both brokers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
import structlog
from aiokafka import AIOKafkaProducer

from agents.catalogue import CatalogueReader
from app.decision.entities import KINDS, ApiKey, Offer
from app.decision.validation import load_entity
from config.metrics import new_metrics
from config.settings import Settings
from config.topics import CATALOG, topic_names
from tables.catalogue_document import CatalogueInvalidError, Entry, document_of, read_document
from tables.catalogue_records import entity_key
from tables.catalogue_topic import CatalogueFeed, read_to_now
from tables.catalogue_writer import CatalogueWriter
from tables.catalogue_yaml import json_text, yaml_text
from tables.key_uses import KeyUses
from tests.catalogue.building import (
    at_version,
    entries_of,
    observing,
    reading,
    ready,
    shop,
    until,
)
from tests.kafka.clients import producer

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


async def put(settings: Settings, key: bytes, value: bytes | None) -> None:
    """Write a record past the writer, as a foreign or later program would."""
    async with producer(settings.broker) as client:
        assert isinstance(client, AIOKafkaProducer)
        await client.send_and_wait(topic_names(settings.app_id)[CATALOG], value, key, partition=0)


async def test_an_import_appears_whole_and_once_on_every_reader(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    async with reading(settings) as one, reading(settings) as other:
        await asyncio.gather(ready(one), ready(other))
        async with observing(one) as seen_by_one, observing(other) as seen_by_other:
            first = await writer.import_tenant("demo", shop(199, "Before"), "test")
            await asyncio.gather(at_version(one, first.version), at_version(other, first.version))
            second = await writer.import_tenant("demo", shop(199, "After"), "test")
            await asyncio.gather(at_version(one, second.version), at_version(other, second.version))
    assert (len(first.created), len(second.updated), len(second.unchanged)) == (200, 199, 1)
    for seen in (seen_by_one, seen_by_other):
        assert [snapshot.version for snapshot in seen] == [0, first.version, second.version]
        names = [
            {offer.name.split()[0] for offer in snapshot.tenant("demo").all("offers", Offer)}
            for snapshot in seen
        ]
        assert names == [set(), {"Before"}, {"After"}]
        assert [len(snapshot.tenant("demo").entities) for snapshot in seen] == [0, 200, 200]


async def test_uses_of_keys_that_are_not_there_are_forgotten(settings: Settings) -> None:
    key = load_entity("api-keys", {"id": "k1", "name": "Shop", "role": "viewer"})
    assert isinstance(key, ApiKey)
    writer, uses = CatalogueWriter(settings), KeyUses()
    await writer.import_tenant("demo", [Entry("api-keys", "api-keys[k1]", key)], "test")
    for name in (b"k1", b"gone"):
        await put(settings, b"!used:demo:" + name, b'{"atMs": 7}')
    imported = await writer.import_tenant("demo", shop(1), "test")
    reader = CatalogueReader(settings, new_metrics(), uses)
    await reader.start()
    try:
        await ready(reader)
        await at_version(reader, imported.version)
        assert (uses.last_ms("demo", "k1"), uses.last_ms("demo", "gone")) == (7, None)
    finally:
        await reader.stop()


async def test_a_reader_notices_within_a_second(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    loop = asyncio.get_running_loop()
    delays_s: list[float] = []
    async with reading(settings) as reader:
        await ready(reader)
        for n in range(5):
            diff = await writer.import_tenant("demo", shop(3, f"Name{n}"), "test")
            acknowledged = loop.time()
            await at_version(reader, diff.version)
            delays_s.append(loop.time() - acknowledged)
    assert max(delays_s) < 1.0, delays_s


async def test_the_same_document_twice_writes_nothing(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    first = await writer.import_tenant("demo", shop(5), "test")
    again = await writer.import_tenant("demo", shop(5), "someone else")
    assert (len(first.created), len(again.unchanged), again.version) == (6, 6, None)
    assert (await read_to_now(settings)).version == first.version


async def test_versions_and_instants_are_the_servers(settings: Settings) -> None:
    times = iter([NOW, NOW, NOW.replace(hour=13), NOW.replace(hour=13)])
    writer = CatalogueWriter(settings, clock=lambda: next(times))
    await writer.import_tenant("demo", shop(2, "Old"), "anna")
    changed = [entry for entry in shop(2, "New") if entry.place != "offers[1]"]
    await writer.import_tenant("demo", changed, "ben")
    entities = await writer.read_tenant("demo")
    offer, untouched = entities["offers", "offer-0000"], entities["offers", "offer-0001"]
    assert (offer.name, offer.version, offer.created_by) == ("New 0", 2, "anna")
    assert (offer.created_at, offer.updated_at) == (NOW, NOW.replace(hour=13))
    assert (untouched.version, untouched.updated_at) == (1, NOW)


async def test_prune_deletes_what_the_document_leaves_out(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    await writer.import_tenant("demo", shop(4), "test")
    await writer.import_tenant("other", shop(4), "test")
    kept = await writer.import_tenant("demo", shop(2), "test")
    pruned = await writer.import_tenant("demo", shop(2), "test", prune=True)
    assert (kept.deleted, kept.version) == ((), None)
    assert pruned.deleted == (("offers", "offer-0002"), ("offers", "offer-0003"))
    async with reading(settings) as reader:
        await ready(reader)
        assert len(reader.snapshot.tenant("demo").entities) == 3
        assert len(reader.snapshot.tenant("other").entities) == 5


async def test_a_preview_says_what_the_import_does_and_changes_nothing(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    preview = await writer.preview("demo", shop(2), "test")
    assert (await read_to_now(settings)).tenant("demo").entities == {}
    assert (await writer.import_tenant("demo", shop(2), "test")).created == preview.created


async def test_a_document_with_problems_changes_nothing(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    bad = entries_of(
        {
            "offers": [
                {"id": "good", "name": "Good", "categoryId": "none"},
                {"id": "bad", "name": "Bad", "categoryId": "nil"},
            ]
        }
    )
    with pytest.raises(CatalogueInvalidError) as caught:
        await writer.import_tenant("demo", bad, "test")
    assert [problem.path for problem in caught.value.problems] == [
        "offers[1].categoryId",
        "offers[0].categoryId",
    ]
    assert (await read_to_now(settings)).version == 0


@pytest.mark.parametrize("form", [yaml_text, json_text])
async def test_importing_an_export_changes_nothing(settings: Settings, form: type[str]) -> None:
    writer = CatalogueWriter(settings)
    await writer.import_tenant("demo", shop(3, "Öl & “no” 1e3:"), "test")
    text = form(document_of("demo", await writer.read_tenant("demo")))
    document = read_document(text.encode())
    again = await writer.import_tenant("demo", document.entries, "test", prune=True)
    assert (document.tenant_id, len(again.unchanged), again.version) == ("demo", 4, None)


async def test_a_reader_is_not_ready_before_its_barrier(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    diff = await CatalogueWriter(settings).import_tenant("demo", shop(3), "test")
    let_write = asyncio.Event()
    write = CatalogueFeed.write_barrier

    async def late(feed: CatalogueFeed) -> bytes:
        await let_write.wait()
        return await write(feed)

    monkeypatch.setattr(CatalogueFeed, "write_barrier", late)
    async with reading(settings) as reader:
        await asyncio.sleep(1.0)
        assert not reader.ready
        assert reader.problem is not None
        let_write.set()
        await ready(reader)
        assert reader.snapshot.version == diff.version
        assert reader.problem is None


async def test_a_barrier_is_taken_away_again(settings: Settings) -> None:
    async with reading(settings) as reader:
        await ready(reader)
        await until(lambda: reader.problem is None)
    again = CatalogueReader(settings, new_metrics())
    await again.start()
    await ready(again)
    await again.stop()
    assert (await read_to_now(settings)).tenants == {}


async def test_records_without_a_marker_are_nobodys(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    await writer.import_tenant("demo", shop(1), "test")
    await put(settings, entity_key("demo", ("offers", "ghost")), b'{"v":1}')
    await put(settings, entity_key("demo", ("offers", "offer-0000")), None)
    async with reading(settings) as reader:
        await ready(reader)
        assert len(reader.snapshot.tenant("demo").entities) == 2
        diff = await writer.import_tenant("demo", shop(2), "test")
        snapshot = await at_version(reader, diff.version)
        assert sorted(snapshot.tenant("demo").entities) == [
            ("categories", "music"),
            ("offers", "offer-0000"),
            ("offers", "offer-0001"),
        ]
        assert reader.problem is None


async def test_a_record_that_cannot_be_read_keeps_the_last_good_snapshot(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    good = await writer.import_tenant("demo", shop(1), "test")
    marker = (
        b'{"v":1,"importId":"later","count":1,"total":3,"digest":"","at":"2026-01-01T00:00:00Z","by":"later"}'
    )
    async with reading(settings) as reader:
        await ready(reader)
        await put(settings, b"demo:offers:new", b'{"v":9,"importId":"later","entity":{"of":"tomorrow"}}')
        await put(settings, b"demo:!commit", marker)
        await until(lambda: reader.problem is not None)
        assert "offers[new]" in (reader.problem or "")
        assert "format 9" in (reader.problem or "")
        assert (reader.ready, reader.snapshot.version) == (True, good.version)
        other = await writer.import_tenant("other", shop(1), "test")
        snapshot = await at_version(reader, other.version)
        assert len(snapshot.tenant("demo").entities) == 2
        assert len(snapshot.tenant("other").entities) == 2
        with pytest.raises(CatalogueInvalidError, match="cannot read"):
            await writer.import_tenant("demo", shop(2), "test")
        await writer.import_tenant("demo", shop(2), "test", prune=True)
        await until(lambda: reader.problem is None)
        assert len(reader.snapshot.tenant("demo").entities) == 3


async def test_a_reader_that_starts_on_an_unreadable_record_is_ready_once_it_is_replaced(
    settings: Settings,
) -> None:
    marker = b'{"v":1,"importId":"x","count":1,"total":1,"digest":"","at":"2026-01-01T00:00:00Z","by":"x"}'
    await put(settings, b"demo:offers:new", b"garbage")
    await put(settings, b"demo:!commit", marker)
    async with reading(settings) as reader:
        await until(lambda: "offers[new]" in (reader.problem or ""))
        assert not reader.ready
        await CatalogueWriter(settings).import_tenant("demo", shop(1), "test", prune=True)
        await ready(reader)
        assert reader.problem is None


async def test_a_reader_that_missed_a_deletion_reads_again(settings: Settings) -> None:
    writer = CatalogueWriter(settings)
    good = await writer.import_tenant("demo", shop(3), "test")
    # What a reader sees that was away for longer than the topic keeps deletions.
    marker = b'{"v":1,"importId":"x","count":0,"total":2,"digest":"0","at":"2026-01-01T00:00:00Z","by":"x"}'
    async with reading(settings) as reader:
        await ready(reader)
        with structlog.testing.capture_logs() as lines:
            await put(settings, b"demo:!commit", marker)
            await until(lambda: "not the 2" in (reader.problem or ""))
            await until(lambda: any(line["event"] == "reading the catalogue again" for line in lines))
        assert len(reader.snapshot.tenant("demo").entities) == 4
        assert reader.ready
        diff = await writer.import_tenant("demo", shop(2), "test", prune=True)
        snapshot = await at_version(reader, diff.version)
        assert len(snapshot.tenant("demo").entities) == 3
        await until(lambda: reader.problem is None)
        assert snapshot.version > (good.version or 0)


async def test_garbage_on_the_topic_stops_nobody(settings: Settings) -> None:
    for key in (b"", b"\xff", b"demo", b"demo:", b"Demo:offers:x", b"!other:x", b"demo:offers:"):
        await put(settings, key, b"\x00")
    diff = await CatalogueWriter(settings).import_tenant("demo", shop(1), "test")
    async with reading(settings) as reader:
        await ready(reader)
        assert reader.snapshot.version == diff.version


def test_every_kind_has_a_name_that_a_key_can_hold() -> None:
    assert all(kind and ":" not in kind for kind in KINDS)
