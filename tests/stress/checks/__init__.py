"""The checks, each a pure function of the evidence."""

from __future__ import annotations

from collections.abc import Callable

from tests.stress.checks.caps import explicit_caps, push_caps
from tests.stress.checks.dead_letters import dead_letters
from tests.stress.checks.liveness import liveness
from tests.stress.checks.order import control_records
from tests.stress.checks.reads import reads
from tests.stress.checks.states import final_states, stores
from tests.stress.checks.writes import acknowledged_writes
from tests.stress.evidence import Evidence, Findings
from tests.stress.refolding import Refolded, refold

Check = Callable[[Evidence, Refolded], Findings]

CHECKS: tuple[Check, ...] = (
    acknowledged_writes,
    push_caps,
    explicit_caps,
    reads,
    control_records,
    final_states,
    dead_letters,
    stores,
    liveness,
)


def check(evidence: Evidence) -> list[Findings]:
    """All findings, one for each check."""
    refolded = refold(evidence)
    return [one(evidence, refolded) for one in CHECKS]
