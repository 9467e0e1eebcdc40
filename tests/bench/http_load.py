"""`http`: recommend and respond of one worker on Apache Kafka, open loop and closed loop."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from config.topics import EVENTS, topic_names
from tests.bench.background_events import events_at
from tests.bench.brokers import Running
from tests.bench.catalogue_import import import_catalogue
from tests.bench.catalogues import Catalogue
from tests.bench.customer_loading import load_customers
from tests.bench.fold_run import ContenderError
from tests.bench.latency import COLUMNS
from tests.bench.load import Load, Met
from tests.bench.process_cpu import cpu_seconds
from tests.bench.purchases import TENANT
from tests.bench.report import Table
from tests.bench.worker_process import Worker, worker
from tests.worker.harness import settings_for

PARTITIONS = 8
WARM_S = 2.0
_LOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Phase:
    """One load: kind of request, arrivals a second (0: closed loop), connections, events a second beside."""

    kind: str
    rate: int
    connections: int
    events: int = 0

    @property
    def name(self) -> str:
        loop = f"open loop {self.rate:,}/s" if self.rate else f"closed loop, {self.connections} connections"
        beside = f", {self.events:,} events/s folded" if self.events else ""
        return f"{self.kind}, {loop}{beside}"


def phases(rates: Sequence[int], events: int) -> list[Phase]:
    """Throughput first, then the rates, then the rates while events are folded."""
    return [
        Phase("recommend", 0, 32),
        *[Phase("recommend", rate, 256) for rate in rates],
        Phase("recommend", 0, 32, events),
        *[Phase("recommend", rate, 256, events) for rate in rates],
        Phase("recommend-trace", 0, 32),
        Phase("respond", 0, 128),
        *[Phase("respond", rate, 256) for rate in rates],
    ]


def http_load(
    running: Running, catalogue: Catalogue, customers: int, seconds: float, planned: Sequence[Phase]
) -> Table:
    """A row for each phase, all against one worker."""
    with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
        settings = settings_for(running.broker, f"bench-{uuid.uuid4().hex[:8]}", Path(folder) / "worker")
        import_catalogue(settings, TENANT, catalogue.documents)
        loaded = sum(load_customers(running.broker.bootstrap, settings, customers))
        with worker(settings, Path(folder) / "log") as process:
            process.wait_ready()
            wait_folded(process, loaded)
            table = _table(running, catalogue, customers)
            for phase in planned:
                _add(
                    table,
                    running,
                    process,
                    phase,
                    Load(
                        kind=phase.kind,
                        port=settings.web_port,
                        rate=phase.rate,
                        connections=phase.connections,
                        warm_s=WARM_S,
                        seconds=seconds,
                        customers=customers,
                        creatives=catalogue.creatives,
                    ),
                )
            table.notes.append(f"The worker held {process.resident_mib():,.0f} MiB at the end.")
    return table


def _table(running: Running, catalogue: Catalogue, customers: int) -> Table:
    columns = ["load", "answers/s", *[f"{name} ms" for name in COLUMNS], "service p50 ms"]
    columns += ["not 2xx", "worker CPU", "generator CPU", "latest send ms"]
    title = f"HTTP: {catalogue.name}; {customers:,} customers, one worker; {running.name}"
    table = Table(title, columns)
    table.notes.append(
        "Latencies run from when a request was due (closed loop: sent), to the whole answer, timer resolution"
        " 1 ms included; service p50 from when it was sent. CPU in cores: 1.00 is one core."
    )
    return table


def _add(table: Table, running: Running, process: Worker, phase: Phase, load: Load) -> None:
    settings = process.settings
    topic = topic_names(settings.app_id)[EVENTS]
    bootstrap = running.broker.bootstrap
    with events_at(bootstrap, topic, settings.partitions, phase.events, load.customers):
        begun, cpu = time.monotonic(), cpu_seconds(process.child.pid)
        met = generate(load)
        cores = (cpu_seconds(process.child.pid) - cpu) / (time.monotonic() - begun)
    errors = [f"{count} × {status}" for status, count in sorted(met.statuses.items()) if status[0] != "2"]
    if met.unanswered:
        errors.append(f"{met.unanswered} unanswered")
    table.add(
        phase.name,
        round(met.answered / met.seconds),
        *met.from_due_ms,
        met.from_sent_ms[0],
        ", ".join(errors) or "0",
        cores,
        met.cpu_s / met.seconds,
        met.late_max_ms if phase.rate else "–",
    )
    print(f"  {phase.name}: {met.answered / met.seconds:,.0f}/s", file=sys.stderr, flush=True)


def generate(load: Load) -> Met:
    argument = msgspec.json.encode(load).decode()
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load", argument],
        capture_output=True,
        timeout=load.seconds + 60,
        check=False,
    )
    if done.returncode:
        raise ContenderError(f"the load generator failed:\n{done.stderr.decode()[-2_000:]}")
    return msgspec.json.decode(done.stdout, type=Met)


def wait_folded(process: Worker, records: int) -> None:
    deadline = time.monotonic() + _LOAD_TIMEOUT_S
    while process.total("records_folded_total") < records:
        if time.monotonic() > deadline or process.child.returncode is not None:
            raise ContenderError(f"customers were not loaded:\n{process.child.tail()}")
        time.sleep(0.2)
