"""A short run on every check of the suite: one node, two workers, a kill, a freeze and a cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stress.checks import check
from tests.stress.report import report, summary
from tests.stress.run import Plan, perform
from tests.stress.schedule import Fault

#: Kept apart from seeded schedules: what one of them holds depends on the code that makes it.
SCHEDULE = (
    Fault(2.0, "kill", 0, 0.5),
    Fault(7.0, "stall", 1, 5.0),
    Fault(15.0, "freeze", 0, 8.0),
)


@pytest.mark.kafka
@pytest.mark.timeout(240)
async def test_nothing_told_to_clients_is_untrue_after_a_kill_a_cut_and_a_freeze(
    tmp_path: Path, keep_summary: Callable[[dict[str, Any]], None]
) -> None:
    plan = Plan(1, 0.5, 1, 2, SCHEDULE, customers=20, requests=50.0, records=30.0)
    evidence, history = await perform(plan, tmp_path)
    findings = check(evidence)
    keep_summary(summary(plan, history, findings, evidence))
    assert not any(one.violations for one in findings), report(findings, evidence)
    seen = {f"{one.check}: {what}": count for one in findings for what, count in one.looked_at.items()}
    for what in (
        "acknowledged writes: produced",
        "acknowledged writes: respond 201",
        "acknowledged writes: re-keyed",
        "push caps: received: customers at the cap of 3",
        "web caps: times an offer was at the cap",
        "reads: reads",
        "control records: epochs",
        "final states: rebuilt customers",
        "dead letters: bad records",
        "stores: level stores",
        "liveness: faults kill",
        "liveness: faults stall",
        "liveness: faults freeze",
    ):
        assert seen.get(what, 0) > 0, (what, seen)
