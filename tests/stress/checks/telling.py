"""Evidence in words."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.stress.history import Op


def told(op: Op, start_s: float = 0.0) -> str:
    """One operation in a line: when (seconds of the run), who, what, and what was answered."""
    where = "Kafka" if op.worker < 0 else f"worker {op.worker}"
    answer = op.error if op.status == 0 else json.dumps(op.body, default=str)[:300]
    return (
        f"op {op.number} {op.kind} {op.customer} at {where}, {op.start_s - start_s:.3f} to "
        f"{op.end_s - start_s:.3f} s, {json.dumps(op.request, default=str)[:200]} -> {op.status} {answer}"
    )


def in_spool(op: Op) -> bool:
    """Whether an event was answered before its fold was seen: it is durable, and will be counted."""
    return op.kind == "ingest" and op.body.get("streamId", "") is None


def first(ops: Iterable[Op], start_s: float, most: int = 6) -> list[str]:
    """The first few of some operations."""
    return [told(op, start_s) for op, _ in zip(ops, range(most), strict=False)]
