"""The audit trail on Apache Kafka: all or nothing with its change, and nobody changes it unseen."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import Callable

import pytest

from agents.audit import AuditReader
from app.decision.entities import Offer
from config.metrics import new_metrics
from config.settings import Settings
from config.topics import AUDIT, topic_names
from tables.audit_chain import Chains
from tables.audit_index import AuditFilter, AuditIndex
from tables.audit_records import canonical, entry_hash
from tables.audit_topic import read_audit, read_entries
from tables.catalogue_topic import read_to_now
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import shop, until
from tests.catalogue.desks import ANNA, audited, desk_of, put
from tests.kafka import clients

pytestmark = pytest.mark.kafka

Records = list[tuple[bytes, bytes]]

#: Imports for ever, each replacing all names.
IMPORTER = """
import asyncio, itertools, sys
from config.settings import Settings
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import shop

async def main():
    settings = Settings(app_id=sys.argv[1], broker=sys.argv[2], partitions=2)
    for n in itertools.count():
        await CatalogueWriter(settings).import_tenant("demo", shop(300, f"{sys.argv[3]}x{n}"), "killed")
        print(n, flush=True)

asyncio.run(main())
"""


async def test_a_writer_killed_at_any_moment_leaves_all_of_its_import_and_its_audit_or_nothing(
    kafka_settings: Settings,
) -> None:
    settings = kafka_settings
    chance = random.Random(5)
    await CatalogueWriter(settings).import_tenant("demo", shop(300), "test")
    for life in range(5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", IMPORTER, settings.app_id, settings.broker, f"life{life}",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        acknowledged = int(await process.stdout.readline())
        await asyncio.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in (await process.stdout.read()).split())])
        await process.wait()
        # Also an import that is not whole may not stand in the way of the next change.
        async with desk_of(settings) as (desk, _):
            await desk.commit("demo", put("count", f"life {life}"), ANNA)
        await audited(settings)
        offers = (await read_to_now(settings)).tenant("demo").entities.values()
        names = {offer.name.split()[0] for offer in offers if isinstance(offer, Offer)}
        assert len(names) == 1
        assert int(names.pop().partition("x")[2]) >= acknowledged


async def written(settings: Settings) -> Records:
    """The records of a short trail."""
    async with desk_of(settings) as (desk, _):
        for n in range(5):
            await desk.commit("demo", put("jazz", f"Jazz {n}"), ANNA)
    topic = topic_names(settings.app_id)[AUDIT]
    return await clients.consume_pairs(settings.broker, topic, 5, "read_committed")


def changed(records: Records) -> Records:
    return [*records[:2], (records[2][0], records[2][1].replace(b"Jazz 2", b"Jazz 9")), *records[3:]]


def changed_with_its_hash(records: Records) -> Records:
    entry = json.loads(records[2][1])
    entry["after"]["name"] = "Jazz 9"
    entry["hash"] = entry_hash(entry)
    return [*records[:2], (records[2][0], canonical(entry)), *records[3:]]


TAMPERED: dict[str, tuple[Callable[[Records], Records], str]] = {
    "changed": (changed, "entry 3 was changed"),
    "changed with its hash": (changed_with_its_hash, "entry 4 does not follow the entry 3"),
    "one removed": (lambda records: records[:2] + records[3:], "entry 3 should follow, and entry 4 does"),
    "the first removed": (lambda records: records[1:], "entry 1 should follow, and entry 2 does"),
    "the last removed": (lambda records: records[:-1], "the entries after 4 are missing, up to 5"),
    "two swapped": (
        lambda records: [records[1], records[0], *records[2:]],
        "entry 1 should follow, and entry 2 does",
    ),
    "one repeated": (lambda records: [*records, records[-1]], "entry 6 should follow, and entry 5 does"),
    "another's": (lambda records: [(b"rival", records[0][1]), *records[1:]], "entry 1 should follow"),
}


async def test_tampering_shows(kafka_settings: Settings) -> None:
    records = await written(kafka_settings)
    head = (await read_to_now(kafka_settings)).tenant("demo").audit_head
    for name, (tamper, found) in TAMPERED.items():
        chains = Chains()
        for key, value in tamper(records):
            chains.take(key, value)
        assert found in (chains.of("demo").fault(head) or ""), name
    assert (await read_audit(kafka_settings)).chains["demo"].fault(head) is None


async def test_a_reader_finds_what_was_written_before_and_after_it_began(kafka_settings: Settings) -> None:
    settings, metrics, index = kafka_settings, new_metrics(), AuditIndex()
    await CatalogueWriter(settings).import_tenant("demo", shop(300), "maria")
    reader = AuditReader(settings, index, metrics)
    await reader.start()
    async with desk_of(settings) as (desk, _):
        await until(lambda: index.read)
        await desk.commit("demo", put("jazz", "Jazz"), ANNA)
        await until(lambda: len(index) == 302)
    found = index.find("demo", AuditFilter(), 200, 0)
    entries = [json.loads(entry) for entry in await read_entries(settings, found.offsets)]
    assert [entry["sequence"] for entry in entries] == list(range(302, 102, -1))
    scattered = index.find("demo", AuditFilter(kind="categories"), 200, 0)
    ids = [json.loads(entry)["id"] for entry in await read_entries(settings, scattered.offsets)]
    assert ids == ["jazz", "music"]
    await reader.stop()


async def test_a_broken_chain_is_counted_once_and_read_past(kafka_settings: Settings) -> None:
    settings, metrics, index = kafka_settings, new_metrics(), AuditIndex()
    topic = topic_names(settings.app_id)[AUDIT]
    async with clients.producer(settings.broker) as producer:
        await producer.send_and_wait(topic, b"not an entry", b"demo", partition=0)
    async with desk_of(settings) as (desk, _):
        await desk.commit("demo", put("jazz", "Jazz"), ANNA)
    reader = AuditReader(settings, index, metrics)
    for _ in range(2):
        await reader.start()
        await until(lambda: index.read and len(index) == 1)
        await reader.stop()
    assert index.chain("demo").problem is not None
    assert metrics.audit_breaks_total._value.get() == 1
