"""When a flow that overruns its latency budget answers with its fallback offers instead.

Rules of this module:

1.  Three decisions in a row that took longer than the flow's budget switch it for ten seconds. One in time
    starts the count anew; one that took exactly the budget is in time.
2.  Decisions made while it is switched count for nothing: they say how fast the fallback is. After the ten
    seconds the flow decides as usual, and it takes three overruns again to switch it.
3.  A flow without fallback offers has nothing to answer with and is never switched; its overruns are for the
    caller to count.
4.  A worker judges by its own decisions: it may be slow for reasons that others do not have.
"""

from __future__ import annotations

import msgspec

OVERRUNS_MAX = 3
SWITCHED_MS = 10_000


class Overruns(msgspec.Struct):
    """The overruns of one flow on one worker. Instants are of any one clock that does not go back, ms."""

    in_a_row: int = 0
    switched_until_ms: float = 0.0

    def switched(self, now_ms: float) -> bool:
        """Whether the flow answers with its fallback offers now."""
        return now_ms < self.switched_until_ms

    def note(self, duration_ms: float, budget_ms: float, now_ms: float) -> bool:
        """Count a decision of the flow; returns whether it switches the flow just now.

        Args:
            duration_ms: How long the decision took.
            budget_ms: How long it may take.
            now_ms: When it ended.
        """
        if self.switched(now_ms):
            return False
        if duration_ms <= budget_ms:
            self.in_a_row = 0
            return False
        self.in_a_row += 1
        if self.in_a_row < OVERRUNS_MAX:
            return False
        self.in_a_row = 0
        self.switched_until_ms = now_ms + SWITCHED_MS
        return True
