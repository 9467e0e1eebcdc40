"""`offertide customers load`, run as people run it, with the real customers of the sample."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from app.child import free_ports
from tests.kafka.broker import Broker
from tests.worker.harness import Client, eventually, running, settings_for
from tests.worker.shop import TENANT, import_shop

SAMPLE = Path(__file__).parents[2] / "config" / "samples" / "cdnow" / "CDNOW_sample.txt"


def buyers() -> list[dict[str, Any]]:
    """The sample's customers: how often they bought, how many and for how much."""
    found: dict[str, dict[str, Any]] = {}
    for line in SAMPLE.read_text().splitlines():
        _, customer, _, cds, spent = line.split()
        one = found.setdefault(customer, {"customerId": customer, "orders": 0, "cds": 0, "cents": 0})
        one["orders"] += 1
        one["cds"] += int(cds)
        one["cents"] += round(float(spent) * 100)
    return list(found.values())


def as_csv(folder: Path, table: Sequence[dict[str, Any]]) -> Path:
    path = folder / "buyers.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*table[0], "tags", "consent.email"])
        writer.writeheader()
        writer.writerows({**one, "tags": "buyer;cdnow", "consent.email": "granted"} for one in table)
    return path


def as_lines(folder: Path, table: Sequence[dict[str, Any]]) -> Path:
    path = folder / "buyers.jsonl"
    with path.open("w") as file:
        for one in table:
            attributes = {name: value for name, value in one.items() if name != "customerId"}
            file.write(json.dumps({"customerId": one["customerId"], "attributes": attributes}) + "\n")
    return path


def as_parquet(folder: Path, table: Sequence[dict[str, Any]]) -> Path:
    path = folder / "buyers.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(table)), path)
    return path


async def offertide(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """One run of the program."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OFFERTIDE_")} | variables
    command = [sys.executable, "-m", "app.cli", "customers", "load", *map(str, arguments)]
    return await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=60
    )


async def test_the_real_customers_of_the_sample(broker: Broker, app_id: str, tmp_path: Path) -> None:
    settings = settings_for(broker, app_id, tmp_path / "data")
    await import_shop(settings)
    table = buyers()
    assert len(table) == 2_357
    files = [as_csv(tmp_path, table), as_lines(tmp_path, table), as_parquet(tmp_path, table)]
    async with running(settings):
        for number, path in enumerate(files):
            tenant = TENANT if number == 0 else f"{TENANT}-{number}"
            run = await offertide(path, "--url", settings.worker_url, "--tenant", tenant)
            assert (run.returncode, run.stdout, run.stderr) == (
                0,
                "2357 rows: 2357 accepted, 0 rejected\n",
                "",
            )
            async with Client(settings.worker_url, tenant) as client:
                await _reads_back(client, table, tagged=number == 0)


async def _reads_back(client: Client, table: Sequence[dict[str, Any]], tagged: bool) -> None:
    """Every customer has what the file said, once all of it is folded."""
    last = table[-1]["customerId"]

    async def there() -> bool:
        return (await client.get(f"/api/v1/customers/{last}"))[0] == 200

    await eventually(there, 20, f"{last} is known")
    for one in table[::50]:
        expected = {name: value for name, value in one.items() if name != "customerId"}
        path = f"/api/v1/customers/{one['customerId']}"

        async def folded(path: str = path) -> bool:
            return (await client.get(path))[0] == 200

        await eventually(folded, 20, path)
        _, body = await client.get(path)
        assert body["attributes"] == expected
        assert body["tags"] == (["buyer", "cdnow"] if tagged else [])
        assert body["consent"] == ({"email": "granted"} if tagged else {})


async def test_bad_rows_are_told_and_the_others_taken(broker: Broker, app_id: str, tmp_path: Path) -> None:
    settings = settings_for(broker, app_id, tmp_path / "data")
    await import_shop(settings)
    path, errors = tmp_path / "some.jsonl", tmp_path / "rejected.jsonl"
    path.write_bytes(
        b'{"customerId": "ann", "attributes": {"a": 1}}\n{oops\n\n{"attributes": {}}\n'
        b'{"customerId": "bob", "tags": 7, "consent": {"mail": "maybe"}}\n' + b"x" * 300_000 + b"\n"
        b'{"customerId": "eve", "attributes": {"e": 1}}'
    )
    async with running(settings), Client(settings.worker_url, TENANT) as client:
        common = (path, "--url", settings.worker_url, "--tenant", TENANT)
        run = await offertide(*common, "--errors", errors, "--json")
        assert run.returncode == 2
        assert json.loads(run.stdout) == {
            "rows": 6,
            "accepted": 2,
            "rejected": 4,
            "nextRow": None,
            "dryRun": False,
            "problem": None,
        }
        told = [json.loads(line) for line in errors.read_text().splitlines()]
        assert [(one["row"], one["customerId"]) for one in told] == [
            (2, None),
            (4, None),
            (5, "bob"),
            (6, None),
        ]
        assert [one["field"] for one in told[2]["details"]] == ["tags", "consent.mail"]
        assert json.loads(told[2]["record"])["customerId"] == "bob"

        async def folded() -> bool:
            answers = [(await client.get(f"/api/v1/customers/{name}"))[0] for name in ("ann", "bob", "eve")]
            return answers == [200, 404, 200]

        await eventually(folded, 20, "ann and eve are known, bob is not")
        dry = await offertide(path, "--dry-run")
        assert (dry.returncode, dry.stdout) == (2, "6 rows: 2 correct, 4 rejected\n")
        assert "row 5: tags: Expected `array | null`, got `int`; consent.mail: must be" in dry.stderr
        rest = await offertide(*common, "--from-row", "7")
        assert (rest.returncode, rest.stdout) == (0, "1 rows: 1 accepted, 0 rejected\n")


async def test_trouble_with_the_worker_says_where_to_go_on(tmp_path: Path) -> None:
    """Something that lets nobody in, first; then nobody at all. No key reaches a log or an answer."""
    path = tmp_path / "c.csv"
    path.write_text("customerId\n" + "".join(f"c{n}\n" for n in range(3)))
    refused = await offertide(path, "--url", "ftp://x")
    assert (refused.returncode, "must begin with http" in refused.stderr) == (2, True)
    missing = await offertide(tmp_path / "none.csv")
    assert (missing.returncode, "cannot be opened" in missing.stderr) == (2, True)
    unknown = await offertide(tmp_path / "c.xls")
    assert (unknown.returncode, "say --format" in unknown.stderr) == (2, True)
    away = f"http://127.0.0.1:{free_ports(1)[0]}"
    run = await offertide(path, "--url", away, "--from-row", "3", OTK_API_KEY="otk_secret")
    assert (run.returncode, run.stdout) == (1, "0 rows: 0 accepted, 0 rejected\n")
    assert "does not answer" in run.stderr
    assert "Go on with --from-row 3" in run.stderr
    assert "otk_secret" not in run.stderr
