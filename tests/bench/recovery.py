"""`recovery`: a worker that starts with its store, and one that has lost it, on Apache Kafka."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from pathlib import Path

from config.settings import Settings
from config.topics import EVENTS, topic_names
from tests.bench.brokers import Running
from tests.bench.catalogue_import import import_catalogue
from tests.bench.catalogues import metrics_only
from tests.bench.fold_run import ContenderError, watch
from tests.bench.purchases import TENANT, Traffic, produce
from tests.bench.report import Table
from tests.bench.worker_process import Worker, worker
from tests.worker.harness import settings_for

PARTITIONS = 8
_LOOK_S = 0.05
_TIMEOUT_S = 300.0


def recovery(running: Running, customers: int) -> Table:
    """One event for each customer is folded; then the worker starts again, warm and cold."""
    columns = ["start", "until ready s", "changelog records read", "records/s", "worker MiB"]
    table = Table(f"Recovery: {customers:,} customers, {PARTITIONS} partitions; {running.name}", columns)
    with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
        settings = settings_for(running.broker, f"bench-{uuid.uuid4().hex[:8]}", Path(folder) / "worker")
        import_catalogue(settings, TENANT, metrics_only())
        traffic = Traffic(0, customers, known=True)
        topic = topic_names(settings.app_id)[EVENTS]
        produce(running.broker.bootstrap, topic, PARTITIONS, traffic)
        with worker(settings, Path(folder) / "first") as process:
            watch(process.child, running.pid, process.folded, traffic.total)
        _restart(table, "with its store", settings, Path(folder) / "warm")
        shutil.rmtree(settings.data_dir / settings.app_id)
        _restart(table, "without its store", settings, Path(folder) / "cold")
    table.notes.append(
        "Until ready: from the start of the process, joining the group included. Records/s: from the first"
        " look at records read to the last, all partitions together, written to their stores."
    )
    return table


def _restart(table: Table, what: str, settings: Settings, folder: Path) -> None:
    begun = time.monotonic()
    with worker(settings, folder) as process:
        looks = _look(process)
        ready_s = time.monotonic() - begun
        moving = [(at, count) for at, count in looks if count > 0]
        read = moving[-1][1] if moving else 0
        ends = next((at for at, count in moving if count == read), 0.0)
        took = ends - moving[0][0] if moving else 0.0
        rate = f"{(read - moving[0][1]) / took:,.0f}" if took else "–"
        table.add(what, ready_s, read, rate, round(process.resident_mib()))


def _look(process: Worker) -> list[tuple[float, int]]:
    """Times and changelog records read, until the worker is ready."""
    deadline = time.monotonic() + _TIMEOUT_S
    looks: list[tuple[float, int]] = []
    while True:
        ready = process.get("/ready")[0] == 200
        looks.append((time.monotonic(), process.total("recovery_records_total")))
        if ready:
            return looks
        if process.child.returncode is not None or time.monotonic() > deadline:
            raise ContenderError(f"the worker did not recover:\n{process.child.tail()}")
        time.sleep(_LOOK_S)
