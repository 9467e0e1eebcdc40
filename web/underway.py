"""A decision on its way from being made to being answered."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.decision.decide import Decided
from tables.overlays import Promise


class Underway(msgspec.Struct):
    """A decision made. `record` is what goes on the log, None when nothing does."""

    decided: Decided
    recommendation_id: str
    flow_id: str
    at_ms: int
    #: Whether the caller asked for the trace.
    trace_asked: bool = False
    trace_id: str | None = None
    record: bytes | None = None
    sequence: int = 0
    #: The answer as it will be given, and to whom it is promised; only of a call with an idempotency key.
    answer: bytes | None = None
    promise: Promise | None = None
    #: When the customer was last erased, as the state that was decided on had it, epoch ms; 0 when never.
    erasure_ms: int = 0
    #: Whether it certainly is not on the log, and will not be.
    refused: bool = False

    @property
    def counts(self) -> bool:
        """Whether a quota has to count it: it shows something, and is on the log or may be."""
        return bool(self.decided.decisions) and not self.refused


class Remember(msgspec.Struct, frozen=True):
    """That an answer is to be given again: under which key (its scope's hash), and how it is rendered."""

    key_hash: int
    render: Callable[[Underway], bytes]
