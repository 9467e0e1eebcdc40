"""What clients did and were told: one operation a line, in memory and as JSONL.

Rules:

1.  Every attempt is an operation of its own: a retry has another number, and names the same key.
2.  `status` is the HTTP status; 0 when there was no answer. A producer's acknowledgement is a 200.
3.  `start_s` and `end_s` are seconds of the harness's monotonic clock, `wall_ms` epoch milliseconds of the
    start: workers run on the same machine, so their time stamps may be compared with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO


@dataclass
class Op:
    """One attempt of one client. `worker` is its number, -1 for Kafka itself."""

    number: int
    kind: str
    customer: str
    worker: int
    start_s: float
    wall_ms: int
    request: dict[str, Any]
    end_s: float = 0.0
    status: int = 0
    body: Any = None
    error: str = ""

    @property
    def acknowledged(self) -> bool:
        return self.status in (200, 201)


@dataclass
class History:
    """All operations, in the order in which they began. `path` gets each when it has ended."""

    path: Path | None = None
    ops: list[Op] = field(default_factory=list)
    _file: TextIO | None = None

    def begin(self, kind: str, customer: str, worker: int, request: dict[str, Any]) -> Op:
        """A new operation, begun now."""
        now_ms = time.time_ns() // 1_000_000
        op = Op(len(self.ops), kind, customer, worker, time.monotonic(), now_ms, request)
        self.ops.append(op)
        return op

    def end(self, op: Op, status: int, body: Any = None, error: str = "") -> Op:
        """The operation ended now."""
        op.end_s, op.status, op.body, op.error = time.monotonic(), status, body, error
        if self.path is not None:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
            self._file.write(json.dumps(asdict(op), separators=(",", ":"), default=str) + "\n")
        return op

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def of(self, *kinds: str) -> Iterator[Op]:
        """The operations of some kinds."""
        return (op for op in self.ops if op.kind in kinds)
