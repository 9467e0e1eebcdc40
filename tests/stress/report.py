"""The verdict: for people, and as one line for logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.stress.evidence import Evidence, Findings
from tests.stress.history import History
from tests.stress.run import Plan

#: Violations of one check that are shown in full.
_SHOWN = 10


def report(findings: Iterable[Findings], evidence: Evidence) -> str:
    """What each check looked at, and every violation with its evidence."""
    lines = ["", "checks:"]
    for one in findings:
        mark = "ok  " if not one.violations else "FAIL"
        seen = ", ".join(f"{what} {count}" for what, count in one.looked_at.items()) or "nothing"
        lines.append(f"  {mark} {one.check}: {seen}")
    times = {
        number: "never" if seconds is None else f"{seconds:.1f} s"
        for number, seconds in sorted(evidence.ready_s.items())
    }
    lines.append(f"  ready after healing: {times}")
    broken = [violation for one in findings for violation in one.violations[:_SHOWN]]
    total = sum(len(one.violations) for one in findings)
    lines.append(f"\n{total} violations" if total else "\nno violations")
    lines += [str(violation) for violation in broken]
    return "\n".join(lines)


def summary(plan: Plan, history: History, findings: Iterable[Findings], evidence: Evidence) -> dict[str, Any]:
    """One JSON object."""
    checks = {one.check: dict(one.looked_at) for one in findings}
    violations = {one.check: len(one.violations) for one in findings if one.violations}
    return {
        "seed": plan.seed,
        "minutes": plan.minutes,
        "nodes": plan.nodes,
        "workers": plan.workers,
        "ops": dict(Counter(op.kind for op in history.ops)),
        "faults": dict(Counter(one.kind for one in evidence.disturbances)),
        "checks": checks,
        "violations": violations,
    }
