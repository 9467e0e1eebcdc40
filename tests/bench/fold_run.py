"""One contender's run over the events in a topic: started, watched from outside, stopped, checked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.child import Child
from tests.bench.contenders.arguments import Assignment
from tests.bench.process_cpu import cpu_seconds, resident_mib
from tests.bench.progress import Progress

_SAMPLE_S = 0.1
_START_TIMEOUT_S = 90.0
_STALL_TIMEOUT_S = 60.0
_STOP_S = 60.0


class ContenderError(RuntimeError):
    """A contender ended, stood still or counted wrongly; the message holds the end of its log."""


@dataclass(frozen=True)
class Sample:
    """A look at a running contender: seconds of some clock, of its processor, and records folded."""

    at_s: float
    cpu_s: float
    broker_cpu_s: float
    folded: int


@dataclass(frozen=True)
class Speed:
    """Records a second of wall time and of the process's own processor time, first to last fold."""

    folded: int
    wall_s: float
    cpu_s: float
    broker_cpu_s: float
    resident_mib: float

    @property
    def per_second(self) -> float:
        return self.folded / self.wall_s

    @property
    def per_cpu_second(self) -> float:
        return self.folded / self.cpu_s


def watch(child: Child, broker_pid: int, folded: Callable[[], int], records: int, before: int = 0) -> Speed:
    """Measure from the first look at more than `before` records to the one at `records`.

    What was folded before the first look does not count; the last look is at most a sample late.

    Raises:
        ContenderError: it ended, did not begin, or stood still.
    """
    samples: list[Sample] = []
    seen = 0
    moved = time.monotonic() + _START_TIMEOUT_S - _STALL_TIMEOUT_S
    while not samples or samples[-1].folded < records:
        if child.returncode is not None:
            raise ContenderError(f"ended with code {child.returncode}:\n{child.tail()}")
        count = folded()
        if count > seen:
            moved, seen = time.monotonic(), count
        if count > (samples[-1].folded if samples else before):
            samples.append(Sample(moved, cpu_seconds(child.pid), cpu_seconds(broker_pid), count))
        if time.monotonic() - moved > _STALL_TIMEOUT_S:
            raise ContenderError(f"stood still at {count} of {records}:\n{child.tail(60)}")
        time.sleep(_SAMPLE_S)
    first, last = samples[0], samples[-1]
    if last.at_s == first.at_s:
        raise ContenderError(f"{records} records are too few to measure")
    return Speed(
        folded=last.folded - first.folded,
        wall_s=last.at_s - first.at_s,
        cpu_s=last.cpu_s - first.cpu_s,
        broker_cpu_s=last.broker_cpu_s - first.broker_cpu_s,
        resident_mib=resident_mib(child.pid),
    )


@contextmanager
def started(argv: list[str], folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A program under this Python; asked to end, and waited for, at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    child = Child([sys.executable, *argv], folder / "log", env)
    try:
        yield child
    finally:
        child.terminate(_STOP_S)


def run_contender(module: str, assignment: Assignment, broker_pid: int) -> Speed:
    """The speed of a contender's program."""
    assignment.state.mkdir(parents=True, exist_ok=True)
    progress = Progress(assignment.progress)
    argv = ["-m", f"tests.bench.contenders.{module}", *assignment.command_line()]
    with started(argv, assignment.state.parent) as child:
        return watch(child, broker_pid, progress.read, assignment.records, assignment.before)
