"""`offertide audit`, run as people run it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from config.settings import Settings
from config.topics import AUDIT, topic_names
from tests.catalogue.test_cli import SAMPLE, fresh, run
from tests.kafka import clients

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "audit.md"

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
    assert documented_check(exported.stdout) == f"72 {entries[-1]['hash']}\n"


def documented_check(export: str) -> str:
    """What the lines of Python in docs/concepts/audit.md print."""
    lines = PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    command = [sys.executable, "-c", lines]
    return subprocess.run(command, input=export, capture_output=True, text=True, check=True).stdout


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
