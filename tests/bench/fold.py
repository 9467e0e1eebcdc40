"""`fold`: this worker, a plain Faust agent and Quix Streams over the same events on the same broker.

One after the other, each a process of its own with its own group and state, pinned to no core. Every repeat
writes the same events to a new topic, which all of them read; who begins changes from repeat to repeat.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.provision import ensure_topics
from config.settings import Settings
from config.topics import EVENTS, changelog_topic, topic_names
from tests.bench import changelog_counts
from tests.bench.brokers import Running
from tests.bench.catalogue_import import import_catalogue
from tests.bench.catalogues import metrics_only
from tests.bench.contenders.arguments import Assignment
from tests.bench.fold_run import ContenderError, Speed, run_contender, watch
from tests.bench.machine import load_average
from tests.bench.purchases import TENANT, Produced, Traffic, produce
from tests.bench.report import Table
from tests.bench.worker_process import worker
from tests.worker.harness import settings_for

PARTITIONS = 8
CONTENDERS = ("worker", "plain_faust", "quix")
NAMES = {
    "worker": "Offertide worker",
    "plain_faust": "plain Faust agent",
    "quix": "Quix Streams",
}


@dataclass(frozen=True)
class Round:
    """One topic full of events and who reads it."""

    running: Running
    traffic: Traffic
    settings: Settings
    folder: Path

    @property
    def topic(self) -> str:
        return topic_names(self.settings.app_id)[EVENTS]

    def assignment(self, name: str) -> Assignment:
        return Assignment(
            bootstrap=self.running.broker.bootstrap,
            topic=self.topic,
            group=f"{self.settings.app_id}-{name}",
            state=self.folder / name / "state",
            progress=self.folder / f"{name}.progress",
            records=self.traffic.total,
            before=self.traffic.before,
            partitions=PARTITIONS,
        )


def fold(running: Running, traffic: Traffic, repeat: int, names: Sequence[str] = CONTENDERS) -> Table:
    """The contenders' speeds: medians over the repeats, and their ratio to the worker's."""
    speeds: dict[str, list[Speed]] = {name: [] for name in names}
    loads = []
    for number in range(repeat):
        with tempfile.TemporaryDirectory(prefix="offertide-bench-") as folder:
            turn = _prepare(running, traffic, Path(folder))
            produced = produce(running.broker.bootstrap, turn.topic, PARTITIONS, traffic)
            loads.append(load_average())
            for name in _rotated(names, number):
                speeds[name].append(_RUNS[name](turn))
                print(f"  {NAMES[name]}: {speeds[name][-1].per_second:,.0f}/s", file=sys.stderr, flush=True)
    return _table(running, traffic, produced, speeds, loads)


def _prepare(running: Running, traffic: Traffic, folder: Path) -> Round:
    settings = settings_for(running.broker, f"bench-{uuid.uuid4().hex[:8]}", folder / "worker")
    asyncio.run(ensure_topics(settings))
    return Round(running, traffic, settings, folder)


def _worker(turn: Round) -> Speed:
    import_catalogue(turn.settings, TENANT, metrics_only())
    with worker(turn.settings, turn.folder / "worker") as process:
        speed = watch(
            process.child, turn.running.pid, process.folded, turn.traffic.total, turn.traffic.before
        )
    _check(turn, changelog_topic(turn.settings.app_id), changelog_counts.in_engine)
    return speed


def _plain_faust(turn: Round) -> Speed:
    assignment = turn.assignment("plain_faust")
    speed = run_contender("plain_faust", assignment, turn.running.pid)
    _check(turn, f"{assignment.group}-metrics-changelog", changelog_counts.in_contender)
    return speed


def _quix(turn: Round) -> Speed:
    assignment = turn.assignment("quix")
    speed = run_contender("quix", assignment, turn.running.pid)
    _check(turn, f"changelog__{assignment.group}--{turn.topic}--default", changelog_counts.in_contender)
    return speed


_RUNS: dict[str, Callable[[Round], Speed]] = {"worker": _worker, "plain_faust": _plain_faust, "quix": _quix}


def _check(turn: Round, changelog: str, counted: Callable[[dict[bytes, bytes]], float]) -> None:
    values = changelog_counts.latest(turn.running.broker.bootstrap, changelog, PARTITIONS)
    total = counted(values)
    if total != turn.traffic.total:
        raise ContenderError(f"{changelog} counts {total:.0f} of {turn.traffic.total} events")


def _rotated(names: Sequence[str], by: int) -> list[str]:
    turn = by % len(names)
    return [*names[turn:], *names[:turn]]


def _table(
    running: Running,
    traffic: Traffic,
    produced: Produced,
    speeds: dict[str, list[Speed]],
    loads: list[float],
) -> Table:
    columns = [
        "who",
        "events/s",
        "× worker",
        "events/s of own CPU",
        "× worker",
        "broker CPU s",
        "MiB",
        "all runs",
    ]
    table = Table(f"Fold: {traffic}; {running.name}", columns)
    own = speeds.get("worker")
    for name, several in speeds.items():
        wall = statistics.median(speed.per_second for speed in several)
        cpu = statistics.median(speed.per_cpu_second for speed in several)
        table.add(
            NAMES[name],
            round(wall),
            _ratio(wall, [speed.per_second for speed in own]) if own else "–",
            round(cpu),
            _ratio(cpu, [speed.per_cpu_second for speed in own]) if own else "–",
            statistics.median(speed.broker_cpu_s for speed in several),
            round(statistics.median(speed.resident_mib for speed in several)),
            ", ".join(f"{speed.per_second:,.0f}" for speed in several),
        )
    runs = len(loads)
    table.notes.append(
        f"{produced.mean_bytes:.0f} bytes an event, {produced.customers:,} customers met, {PARTITIONS}"
        f" partitions, five metrics; every changelog sums to the events written. Median of {runs}."
        f" Load average before each: {', '.join(f'{load:.2f}' for load in loads)}."
    )
    return table


def _ratio(value: float, own: list[float]) -> str:
    return f"{value / statistics.median(own):.2f}"
