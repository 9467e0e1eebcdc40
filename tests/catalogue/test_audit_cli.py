"""`offertide audit`, run as people run it."""

from __future__ import annotations

import asyncio
import json

from config.settings import Settings
from config.topics import AUDIT, topic_names
from tests.catalogue.test_cli import SAMPLE, fresh, run
from tests.kafka import clients

__all__ = ["fresh"]


def test_a_trail_is_checked_and_exported(fresh: Settings) -> None:
    assert run(fresh, "audit", "verify").stdout == "there are no entries\n"
    assert run(fresh, "catalog", "import", str(SAMPLE)).returncode == 0
    assert run(fresh, "catalog", "import", str(SAMPLE), "--tenant", "other").returncode == 0
    checked = run(fresh, "audit", "verify")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout == "demo: 72 entries, holds\nother: 72 entries, holds\n"
    exported = run(fresh, "audit", "export", "--tenant", "demo")
    entries = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [entry["sequence"] for entry in entries] == list(range(1, 73))
    assert {entry["actor"]["id"].partition(":")[0] for entry in entries} == {"cli"}
    assert {entry["tenant"] for entry in entries} == {"demo"}


def test_a_trail_that_does_not_hold_is_an_error(fresh: Settings) -> None:
    assert run(fresh, "catalog", "import", str(SAMPLE)).returncode == 0
    topic = topic_names(fresh.app_id)[AUDIT]
    asyncio.run(forge(fresh.broker, topic))
    checked = run(fresh, "audit", "verify", "--tenant", "demo", "--json")
    assert checked.returncode == 3
    (chain,) = json.loads(checked.stdout)["chains"]
    assert chain["problem"] == "it is no entry of the audit trail"


def test_without_a_broker_one_sentence_says_so() -> None:
    checked = run(None, "audit", "verify")
    assert checked.returncode == 1
    assert checked.stderr.startswith("no Kafka broker answers at ")


async def forge(broker: str, topic: str) -> None:
    async with clients.producer(broker) as producer:
        await producer.send_and_wait(topic, b"{}", b"demo", partition=0)
