"""The system goes on: it answers when nothing is wrong, comes back when all is healed, and never says 500.

Rules:

1.  An answer is one of those that the contract names; 503 and no answer are legal, 500 is not.
2.  In a phase without a fault for QUIET_S seconds some requests succeed.
3.  Healed, every worker is ready in time, and all is folded in time.
4.  A worker that gets SIGTERM ends with 0; with the signal itself while it still loads its modules.
"""

from __future__ import annotations

import signal
from collections import Counter

from tests.stress.checks.telling import first, told
from tests.stress.evidence import Evidence, Findings
from tests.stress.history import Op
from tests.stress.refolding import Refolded
from tests.stress.schedule import QUIET_S, SESSION_S

#: 404 is judged by `reads`; 409 by `writes`.
_LEGAL: dict[str, frozenset[int]] = {
    "recommend": frozenset({200}),
    "respond": frozenset({200, 201, 404, 409}),
    "ingest": frozenset({200}),
    "put": frozenset({200, 201}),
    "patch": frozenset({200, 201}),
    "get": frozenset({200}),
}
#: Of fewer attempts all may have met a worker that does not own the customer.
_ENOUGH = 40
#: A worker needs about so many seconds until it has its signal handlers.
_STARTING_S = 6.0
_CODES = frozenset({"NOT_READY", "OVERLOADED", "PENDING"})


def liveness(evidence: Evidence, _: Refolded) -> Findings:
    """Illegal answers, silence without a reason, and what did not come back."""
    findings = Findings("liveness")
    answers: Counter[str] = Counter()
    for op in evidence.ops:
        if op.kind not in _LEGAL:
            continue
        answers[_answer(op)] += 1
        findings.saw("answers later than a session", op.status != 0 and op.end_s - op.start_s > SESSION_S)
        if not _legal(op):
            findings.broken(f"{op.kind} was answered {op.status}", told(op, evidence.started_s))
    for answer, count in sorted(answers.items()):
        findings.saw(f"answers {answer}", count)
    _quiet(evidence, findings)
    for worker, seconds in evidence.ready_s.items():
        findings.saw("workers healed")
        if seconds is None:
            findings.broken(f"worker {worker} was not ready in time after healing")
    for what in evidence.stuck:
        findings.broken(what)
    for stop in evidence.stops:
        findings.saw("SIGTERM")
        if stop.code == -signal.SIGTERM and stop.up_s < _STARTING_S:
            findings.saw("SIGTERM while it started")
        elif stop.code != 0:
            at_s, took_s = stop.asked_s - evidence.started_s, stop.ended_s - stop.asked_s
            findings.broken(
                f"worker {stop.worker} ended with code {stop.code} after SIGTERM at {at_s:.1f} s, "
                f"in {took_s:.1f} s"
            )
    findings.saw("workers that ended by themselves", len(evidence.gave_up))
    for one in evidence.disturbances:
        findings.saw(f"faults {one.kind}")
    return findings


def _answer(op: Op) -> str:
    code = op.body.get("code", "") if op.status == 503 and isinstance(op.body, dict) else ""
    return f"{op.status} {code}".strip() if op.status else "none"


def _legal(op: Op) -> bool:
    if op.status == 503:
        return isinstance(op.body, dict) and op.body.get("code") in _CODES
    return op.status == 0 or op.status in _LEGAL[op.kind]


def _quiet(evidence: Evidence, findings: Findings) -> None:
    """In each phase between faults that is long enough, its first QUIET_S seconds left out."""
    calm_s = evidence.started_s
    times = sorted((one.start_s, one.end_s) for one in evidence.disturbances)
    for start_s, end_s in (*times, (evidence.ended_s, evidence.ended_s)):
        begin_s = calm_s + QUIET_S
        if start_s > begin_s:
            findings.saw("quiet phases")
            inside = [op for op in evidence.ops if op.kind in _LEGAL and begin_s <= op.start_s < start_s]
            if len(inside) >= _ENOUGH and not any(op.acknowledged for op in inside):
                findings.broken(
                    f"from {begin_s - evidence.started_s:.1f} to {start_s - evidence.started_s:.1f} s "
                    f"none of {len(inside)} requests succeeded, and nothing was wrong",
                    *first(inside, evidence.started_s),
                )
        calm_s = max(calm_s, end_s)
