"""`takeover`: how long after a kill -9 the other worker answers for all, with standbys and without."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from config.topics import EVENTS, topic_names
from tests.bench.brokers import Running
from tests.bench.catalogue_import import import_catalogue
from tests.bench.catalogues import metrics_only
from tests.bench.fold_run import ContenderError
from tests.bench.purchases import TENANT, Traffic, produce
from tests.bench.report import Table
from tests.bench.worker_process import Worker, worker
from tests.worker.harness import settings_for

PARTITIONS = 8
_LOOK_S = 0.02
_TIMEOUT_S = 300.0


def takeover(running: Running, customers: int) -> Table:
    """One row with standbys and one without; each with new topics and empty folders."""
    columns = ["the other worker", "session time-out s", "answers for all after s", "past the time-out s"]
    columns += ["changelog records read"]
    title = f"Takeover after kill -9: {customers:,} customers, {PARTITIONS} partitions; {running.name}"
    table = Table(title, columns)
    for what, replicas in (("has standbys", 1), ("has no files", 0)):
        _measure(table, running, customers, what, replicas)
    table.notes.append(
        "From the kill until every partition is ready on the other worker, which owned half of them before."
        " The group notices a dead member one session time-out after its last heartbeat; one is sent every"
        " half second."
    )
    return table


def _measure(table: Table, running: Running, customers: int, what: str, replicas: int) -> None:
    with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
        app_id = f"bench-{uuid.uuid4().hex[:8]}"
        settings = [
            settings_for(running.broker, app_id, Path(folder) / name, standby_replicas=replicas)
            for name in ("killed", "left")
        ]
        import_catalogue(settings[0], TENANT, metrics_only())
        with (
            worker(settings[0], Path(folder) / "killed-log") as killed,
            worker(settings[1], Path(folder) / "left-log") as left,
        ):
            _wait(lambda: _owned(killed) == _owned(left) == PARTITIONS // 2, killed, left)
            topic = topic_names(app_id)[EVENTS]
            produce(running.broker.bootstrap, topic, PARTITIONS, Traffic(0, customers, known=True))
            _wait(lambda: killed.folded() + left.folded() >= customers, killed, left)
            _wait(lambda: _level(left, PARTITIONS // 2 * replicas), killed, left)
            read = left.total("recovery_records_total")
            begun = time.monotonic()
            killed.child.kill()
            _wait(lambda: _owned(left) == PARTITIONS, left)
            took = time.monotonic() - begun
            session_s = settings[0].session_timeout_ms / 1000
            table.add(what, session_s, took, took - session_s, left.total("recovery_records_total") - read)


def _owned(process: Worker) -> int:
    """Partitions owned, once all of them are ready; else -1."""
    status, body = process.get("/ready")
    return int(json.loads(body)["partitionsOwned"]) if status == 200 else -1


def _level(process: Worker, copies: int) -> bool:
    _, body = process.get("/ready")
    standbys = json.loads(body).get("standbys", [])
    return len(standbys) == copies and all(each["lag"] == 0 for each in standbys)


def _wait(condition: Callable[[], bool], *processes: Worker) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not condition():
        ended = [process for process in processes if process.child.returncode is not None]
        if ended or time.monotonic() > deadline:
            raise ContenderError(f"it did not come so far:\n{(ended or list(processes))[0].child.tail()}")
        time.sleep(_LOOK_S)
