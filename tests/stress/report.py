"""The verdict: for people, and as one line for logs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.stress.evidence import Evidence, Findings, Violation
from tests.stress.history import History
from tests.stress.run import Plan

#: Violations of one kind that are shown in full: many of one must not hide another.
_SHOWN = 3
_NUMBERS = re.compile(r"(?<!answered )(?<![0-9.])[0-9.]+")


def report(findings: Sequence[Findings], evidence: Evidence) -> str:
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
    total = sum(len(one.violations) for one in findings)
    lines.append(f"\n{total} violations" if total else "\nno violations")
    for kind in _by_kind(findings):
        lines += [str(violation) for violation in kind[:_SHOWN]]
        if len(kind) > _SHOWN:
            lines.append(f"    and {len(kind) - _SHOWN} more like it")
    return "\n".join(lines)


def _by_kind(findings: Sequence[Findings]) -> Iterable[list[Violation]]:
    """Violations that say the same but for numbers, together."""
    kinds: dict[tuple[str, str], list[Violation]] = {}
    for one in findings:
        for violation in one.violations:
            kinds.setdefault((one.check, _NUMBERS.sub("", violation.what)), []).append(violation)
    return kinds.values()


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
