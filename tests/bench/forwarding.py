"""`forwarding`: the same load at the worker that owns every customer, and at one that owns none."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path

from tests.bench.brokers import Running
from tests.bench.catalogue_import import import_catalogue
from tests.bench.catalogues import Catalogue
from tests.bench.customer_loading import load_customers
from tests.bench.fold_run import ContenderError
from tests.bench.http_load import WARM_S, generate, wait_folded
from tests.bench.latency import COLUMNS
from tests.bench.load import Load
from tests.bench.purchases import TENANT
from tests.bench.report import Table
from tests.bench.worker_process import Worker, worker
from tests.worker.harness import settings_for

#: One partition: of two workers one owns it, the other nothing.
PARTITIONS = 1


def forwarding(
    running: Running, catalogue: Catalogue, customers: int, seconds: float, rates: list[int]
) -> Table:
    """Rows in pairs: asked at the owner, asked at the other worker."""
    columns = ["load", "asked", "answers/s", *[f"{name} ms" for name in COLUMNS], "not 2xx"]
    title = f"Forwarding: {catalogue.name}; {customers:,} customers, two workers; {running.name}"
    table = Table(title, columns)
    with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
        app_id = f"bench-{uuid.uuid4().hex[:8]}"
        settings = [
            settings_for(running.broker, app_id, Path(folder) / name, partitions=PARTITIONS)
            for name in ("owner", "other")
        ]
        import_catalogue(settings[0], TENANT, catalogue.documents)
        loaded = sum(load_customers(running.broker.bootstrap, settings[0], customers))
        with worker(settings[0], Path(folder) / "owner-log") as owner:
            owner.wait_ready()
            wait_folded(owner, loaded)
            with worker(settings[1], Path(folder) / "other-log") as other:
                _wait_shared(owner, other)
                for rate in rates:
                    for asked in _owner_first(owner, other):
                        _add(table, *asked, rate, seconds, customers, catalogue.creatives)
    return table


def _wait_shared(owner: Worker, other: Worker) -> None:
    """Both in the group, and one of them ready with the partition."""
    for _ in range(600):
        pages = [process.get("/api/v1/topology", TENANT)[1] for process in (owner, other)]
        ready = [process.get("/ready")[0] == 200 for process in (owner, other)]
        if pages[0] == pages[1] and sum(ready) == 1:
            return
        time.sleep(0.1)
    raise ContenderError(f"the two did not agree:\n{other.child.tail()}")


def _owner_first(owner: Worker, other: Worker) -> list[tuple[str, Worker]]:
    if owner.get("/ready")[0] != 200:
        owner, other = other, owner
    return [("the owner", owner), ("the other", other)]


def _add(
    table: Table,
    name: str,
    asked: Worker,
    rate: int,
    seconds: float,
    customers: int,
    creatives: tuple[str, ...],
) -> None:
    met = generate(
        Load(
            kind="recommend",
            port=asked.settings.web_port,
            rate=rate,
            connections=64 if rate else 32,
            warm_s=WARM_S,
            seconds=seconds,
            customers=customers,
            creatives=creatives,
        )
    )
    errors = [f"{count} × {status}" for status, count in sorted(met.statuses.items()) if status[0] != "2"]
    loop = f"recommend, open loop {rate:,}/s" if rate else "recommend, closed loop, 32 connections"
    table.add(loop, name, round(met.answered / met.seconds), *met.from_due_ms, ", ".join(errors) or "0")
