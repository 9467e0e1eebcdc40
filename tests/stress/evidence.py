"""What a run left behind, as the checks see it: plain values, so that tests can plant violations in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.stress.history import Op

#: Topic (its short name) and partition.
Place = tuple[str, int]


@dataclass(frozen=True)
class Record:
    """One record of a topic, as a `read_committed` reader got it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A control record: what one batch folded, in fold order, as (topic's short name, first, next)."""

    offset: int
    epoch: int
    folded: tuple[tuple[str, int, int], ...]
    positions: Mapping[str, int]


@dataclass(frozen=True)
class Store:
    """A store's content as found on a disk; `offset` is the changelog offset that it says it has applied.

    `values` are without the entries that exist in stores only.
    """

    name: str
    partition: int
    offset: int
    values: Mapping[bytes, bytes]
    #: What the changelog says at that offset; None when it was not read to there.
    expected: Mapping[bytes, bytes] | None = None


@dataclass(frozen=True)
class Disturbance:
    """A fault as it happened, monotonic seconds."""

    kind: str
    who: str
    start_s: float
    end_s: float
    error: str = ""


@dataclass(frozen=True)
class Stop:
    """A worker that got SIGTERM: when, when it had ended, monotonic seconds, and its exit code.

    `up_s` is for how many seconds it had run.
    """

    worker: int
    asked_s: float
    ended_s: float
    code: int
    up_s: float = 60.0


@dataclass
class Evidence:
    """Everything the checks read."""

    partitions: int
    ops: Sequence[Op] = ()
    records: Mapping[Place, Sequence[Record]] = field(default_factory=dict)
    ends: Mapping[Place, int] = field(default_factory=dict)
    steps: Mapping[int, Sequence[Step]] = field(default_factory=dict)
    #: Offsets missing in a changelog, by partition: compacted away, so that steps may be missing.
    holes: Mapping[int, int] = field(default_factory=dict)
    #: GET of every customer: when all was folded, and from the worker that rebuilt everything.
    states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rebuilt_states: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stores: Sequence[Store] = ()
    disturbances: Sequence[Disturbance] = ()
    #: Seconds until each worker was ready after healing; None when it was not in time.
    ready_s: Mapping[int, float | None] = field(default_factory=dict)
    stops: Sequence[Stop] = ()
    #: Workers that ended by themselves, with the time.
    gave_up: Sequence[tuple[int, float]] = ()
    #: What could not be reached in time at the end, in words.
    stuck: Sequence[str] = ()
    #: The phase with traffic, monotonic seconds.
    started_s: float = 0.0
    ended_s: float = 0.0


@dataclass(frozen=True)
class Violation:
    """A promise that was broken, and what shows it."""

    check: str
    what: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join((f"[{self.check}] {self.what}", *self.evidence))


@dataclass
class Findings:
    """What one check looked at, by name, and what it found."""

    check: str
    looked_at: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def saw(self, what: str, count: int = 1) -> None:
        self.looked_at[what] = self.looked_at.get(what, 0) + count

    def broken(self, what: str, *evidence: object) -> None:
        self.violations.append(Violation(self.check, what, tuple(str(one)[:600] for one in evidence)))
