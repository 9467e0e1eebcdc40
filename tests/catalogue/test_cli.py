"""The command line, run as people run it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.child import free_ports
from app.provision import topic_exists
from config.settings import Settings
from config.topics import CATALOG
from tables.catalogue_log import CatalogueLog
from tables.catalogue_topic import read_to_now
from tests.catalogue.building import settings_for
from tests.kafka.broker import Broker

SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "music-shop.yaml"
TIMEOUT_S = 60


def run(settings: Settings | None, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """One run of the program; without settings its broker does not exist."""
    broker = settings.broker if settings else f"127.0.0.1:{free_ports(1)[0]}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("OFFERTIDE_")} | {
        "OFFERTIDE_BROKER": broker,
        "OFFERTIDE_APP_ID": settings.app_id if settings else "offertide",
        "OFFERTIDE_IDEMPOTENT_PRODUCER": str(settings is None or settings.idempotent_producer).lower(),
        "OFFERTIDE_BROKER_START_TIMEOUT_MS": "10000" if settings else "300",
    }
    command = [sys.executable, "-c", "from app.cli import main; main(prog_name='offertide')", *arguments]
    return subprocess.run(command, env=env, input=text, capture_output=True, text=True, timeout=TIMEOUT_S)


@pytest.fixture
def fresh(broker: Broker, app_id: str) -> Settings:
    """An application without a topic."""
    return settings_for(broker, app_id)


def read(settings: Settings) -> CatalogueLog:
    return asyncio.run(read_to_now(settings))


def test_import_export_import(fresh: Settings, tmp_path: Path) -> None:
    first = run(fresh, "catalog", "import", str(SAMPLE))
    assert (first.returncode, first.stderr) == (0, "")
    assert "  + offers[classics-box]\n" in first.stdout
    assert "demo: 72 created, 0 updated, 0 deleted, 0 unchanged, version " in first.stdout
    again = run(fresh, "catalog", "import", str(SAMPLE))
    assert again.stdout == "demo: 0 created, 0 updated, 0 deleted, 72 unchanged (nothing was written)\n"
    version = read(fresh).version
    for name in ("out.yaml", "out.json"):
        file = tmp_path / name
        assert run(fresh, "catalog", "export", "--output", str(file)).returncode == 0
        back = run(fresh, "catalog", "import", str(file), "--prune")
        assert "0 created, 0 updated, 0 deleted, 72 unchanged" in back.stdout
    assert read(fresh).version == version
    assert json.loads((tmp_path / "out.json").read_text())["tenant"] == "demo"


def test_the_tenant_named_on_the_command_line_wins(fresh: Settings) -> None:
    text = "tenant: acme\ncategories: [{id: c, name: C}]\n"
    assert "acme: 1 created" in run(fresh, "catalog", "import", "-", text=text).stdout
    assert "other: 1 created" in run(fresh, "catalog", "import", "-", "--tenant", "other", text=text).stdout
    exported = run(fresh, "catalog", "export", "--tenant", "acme").stdout
    assert exported == "tenant: acme\ncategories:\n- id: c\n  name: C\n"


def test_a_dry_run_changes_nothing_and_creates_nothing(fresh: Settings) -> None:
    dry = run(fresh, "catalog", "import", str(SAMPLE), "--dry-run", "--json")
    diff = json.loads(dry.stdout)
    assert (dry.returncode, len(diff["created"]), diff["version"], diff["dryRun"]) == (0, 72, None, True)
    assert {"kind": "offers", "id": "indie-picks"} in diff["created"]
    assert not asyncio.run(topic_exists(fresh, CATALOG))
    assert run(fresh, "catalog", "export").stdout == "tenant: demo\n"
    assert not asyncio.run(topic_exists(fresh, CATALOG))


def test_a_bad_document_is_two_and_every_problem_a_line(fresh: Settings) -> None:
    text = (
        "categories: [{id: c, name: C}]\n"
        "offers: [{id: a, name: A, categoryId: c}, {id: b, name: B, categoryId: none}]\n"
        "channels: [{id: w, name: W, type: carrier-pigeon}]\n"
    )
    bad = run(fresh, "catalog", "import", "-", text=text)
    assert (bad.returncode, bad.stdout) == (2, "")
    *problems, last = bad.stderr.splitlines()
    assert [line.partition(": ")[0] for line in problems] == ["channels[0].type"]
    assert last == "1 problem; nothing was imported"
    missing = run(fresh, "catalog", "import", "-", "--json", text=text.replace("carrier-pigeon", "web"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("offers[1].categoryId: there is no none among the categories\n")
    assert json.loads(missing.stdout)["problems"][0]["field"] == "offers[1].categoryId"
    assert read(fresh).version == 0


def test_diff_says_which_fields_and_exits_as_diff_does(fresh: Settings) -> None:
    text = "categories: [{id: c, name: C}, {id: d, name: D}]\n"
    assert run(fresh, "catalog", "import", "-", text=text).returncode == 0
    same = run(fresh, "catalog", "diff", "-", text=text)
    assert (same.returncode, same.stderr) == (0, "")
    assert (
        same.stdout == "demo: 0 created, 0 updated, 0 deleted, 2 unchanged (dry run: nothing was changed)\n"
    )
    changed = "categories: [{id: c, key: music, name: C!}]\n"
    found = run(fresh, "catalog", "diff", "-", "--prune", text=changed)
    assert found.returncode == 1
    assert found.stdout.splitlines()[:4] == [
        "  ~ categories[c]",
        '      key: null -> "music"',
        '      name: "C" -> "C!"',
        "  - categories[d]",
    ]
    shown = json.loads(run(fresh, "catalog", "diff", "-", "--json", text=changed).stdout)
    assert shown["updated"][0]["changes"][1] == {"path": "name", "before": "C", "after": "C!"}
    assert shown["dryRun"] is True
    assert run(fresh, "catalog", "diff", "-", text="offers: [{id: o}]").returncode == 2
    assert run(None, "catalog", "diff", "-", text=text).returncode == 2
    assert set(read(fresh).tenant("demo").entities) == {("categories", "c"), ("categories", "d")}


def test_prune_deletes(fresh: Settings) -> None:
    two = "categories: [{id: c, name: C}, {id: d, name: D}]\n"
    assert run(fresh, "catalog", "import", "-", text=two).returncode == 0
    pruned = run(fresh, "catalog", "import", "-", "--prune", text="categories: [{id: c, name: C}]\n")
    assert "  - categories[d]\n" in pruned.stdout
    assert list(read(fresh).tenant("demo").entities) == [("categories", "c")]


@pytest.mark.parametrize(
    "arguments", [("import", str(SAMPLE)), ("export",), ("import", str(SAMPLE), "--dry-run")]
)
def test_no_broker_is_one_sentence_and_one(arguments: tuple[str, ...]) -> None:
    found = run(None, "catalog", *arguments)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("no Kafka broker answers at 127.0.0.1:")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.embedded
def test_a_broker_without_transactions_is_named(embedded_broker: object, app_id: str) -> None:
    bootstrap = getattr(embedded_broker, "bootstrap", "")
    found = run(settings_for(Broker(bootstrap, "kafka"), app_id), "catalog", "import", str(SAMPLE))
    assert found.returncode == 1
    assert "OFFERTIDE_IDEMPOTENT_PRODUCER=false" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "no-such-file.yaml"), "No such file"),
        (("import", str(SAMPLE), "--tenant", "No Such"), "--tenant"),
        (("export", "--tenant", ""), "--tenant"),
        (("export", "--format", "xml"), "xml"),
        (("import", "-"), "FILE must be a mapping"),
    ],
)
def test_wrong_use_is_two_without_a_broker(arguments: tuple[str, ...], said: str) -> None:
    found = run(None, "catalog", *arguments)
    assert found.returncode == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_wrong_settings_are_named() -> None:
    env = {**os.environ, "OFFERTIDE_PARTITIONS": "many"}
    command = [sys.executable, "-c", "from app.cli import main; main()", "catalog", "export"]
    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert found.returncode == 2
    assert "OFFERTIDE_PARTITIONS" in found.stderr


@pytest.mark.parametrize("arguments", [(), ("catalog",), ("catalog", "import"), ("catalog", "export")])
def test_help_comes_quickly_and_has_examples(arguments: tuple[str, ...]) -> None:
    times_s: list[float] = []
    for _ in range(3):
        started = time.monotonic()
        found = run(None, *arguments, "--help")
        times_s.append(time.monotonic() - started)
        assert found.returncode == 0
        assert "Usage: offertide" in found.stdout
    assert "Examples:" in found.stdout or arguments == ("catalog",)
    assert min(times_s) < 0.3, times_s


def test_help_names_commands_without_loading_them() -> None:
    found = run(None, "--help").stdout
    assert all(name in found for name in ("catalog", "demo", "worker"))
    loaded = (
        "import sys; from click.testing import CliRunner; from app.cli import main; "
        "CliRunner().invoke(main, ['--help']); "
        "print([name for name in sys.modules if name.startswith('app.commands')])"
    )
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert shown.stdout.strip() == "[]"


def test_an_unknown_command_is_refused() -> None:
    found = run(None, "catalogue")
    assert found.returncode == 2
    assert "No such command" in found.stderr
