"""A read shows everything that was acknowledged before it began, and nothing that nobody wrote.

Rules:

1.  Reads are GET, PUT and PATCH of a customer, each with the state in its answer.
2.  Counts have a lower bound, what HTTP acknowledged before the read began (a producer's acknowledgement says
    that a record is on Kafka, not that it is folded), and an upper one, what anybody began to write before it
    ended. And they never fall from one read to a later one.
3.  A profile attribute shows a write that may be the latest: not one that was acknowledged and then surely
    overwritten, which is when another began after its end and was acknowledged before the read began. A write
    without an answer may take effect at any later time.
4.  A recommendation that was answered is found by a response that names it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from config.topics import EVENTS, RESPONSES
from tests.stress.checks.telling import in_spool, told
from tests.stress.evidence import Evidence, Findings
from tests.stress.history import Op
from tests.stress.refolding import Refolded

#: Of a customer's latest 50 recommendations, which is what it remembers, so many may be under way.
_REMEMBERED = 45


class _Counted:
    """Writes of one customer to one count, each key once."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._acknowledged: dict[str, float] = {}
        self._sorted: tuple[list[float], list[float]] | None = None

    def began(self, key: str, at_s: float) -> None:
        self._began[key] = min(at_s, self._began.get(key, at_s))

    def acknowledged(self, key: str, at_s: float) -> None:
        self._acknowledged[key] = min(at_s, self._acknowledged.get(key, at_s))

    def bounds(self, start_s: float, end_s: float) -> tuple[int, int]:
        """The least and the most that a read in this interval may show."""
        if self._sorted is None:
            self._sorted = (sorted(self._acknowledged.values()), sorted(self._began.values()))
        return bisect_left(self._sorted[0], start_s), bisect_left(self._sorted[1], end_s)


def reads(evidence: Evidence, _: Refolded) -> Findings:
    """Read-your-writes of every customer, over all clients and workers."""
    findings = Findings("reads")
    counts: dict[tuple[str, str], _Counted] = defaultdict(_Counted)
    profiles: dict[tuple[str, str], list[Op]] = defaultdict(list)
    for op in evidence.ops:
        _note_count(op, counts)
        for name in ("a", "b") if op.kind in ("put", "patch") else ():
            if name in op.request["attributes"]:
                profiles[op.customer, name].append(op)
    shown = [op for op in evidence.ops if op.kind in ("get", "put", "patch") and op.acknowledged]
    for op in shown:
        findings.saw("reads")
        _check_counts(evidence, op, counts, findings)
        for name in ("a", "b"):
            _check_attribute(evidence, op, name, profiles[op.customer, name], findings)
    _never_back(evidence, shown, findings)
    _found(evidence, findings)
    return findings


def _note_count(op: Op, counts: dict[tuple[str, str], _Counted]) -> None:
    noted = _countable(op)
    if noted is None:
        return
    metric, customer, key = noted
    counted = counts[customer, metric]
    counted.began(key, op.start_s)
    # A duplicate's answer, too, says that the key is in the state.
    if op.acknowledged and op.kind != "produce" and not in_spool(op):
        counted.acknowledged(key, op.end_s)


def _countable(op: Op) -> tuple[str, str, str] | None:
    """Which metric, of whom, an operation adds to, and its key."""
    if op.kind == "ingest" and op.request["type"] == "purchase":
        return "purchases", op.customer, op.request["eventId"]
    if op.kind == "respond" and op.request["outcome"] == "click":
        target = (op.request["recommendationId"], op.request["rank"])
        return "clicks", op.customer, f"{target} {op.request['idempotencyKey']}"
    if op.kind == "produce" and op.request["topic"] in (EVENTS, RESPONSES):
        try:
            body: dict[str, Any] = json.loads(bytes.fromhex(op.request["value"]))
        except ValueError:
            return None
        if body.get("type") == "purchase" and "customerId" in body:
            return "purchases", body["customerId"], body.get("eventId", f"record {op.number}")
        if body.get("outcome") == "click":
            return "clicks", body["customerId"], body.get("idempotencyKey", f"record {op.number}")
    return None


def _check_counts(
    evidence: Evidence, op: Op, counts: dict[tuple[str, str], _Counted], findings: Findings
) -> None:
    for metric in ("purchases", "clicks"):
        shown = op.body["metrics"][metric]
        least, most = counts[op.customer, metric].bounds(op.start_s, op.end_s)
        if not least <= shown <= most:
            findings.broken(
                f"{op.customer}: {metric} is {shown:g}, acknowledged before were {least}, "
                f"begun until then {most}",
                told(op, evidence.started_s),
            )


def _check_attribute(
    evidence: Evidence, read: Op, name: str, writes: Iterable[Op], findings: Findings
) -> None:
    value = read.body["attributes"].get(name)
    of_value = [op for op in writes if op.request["attributes"][name] == value]
    if any(op.start_s < read.end_s and _may_be_latest(op, read, writes) for op in of_value):
        return
    if value is None and not any(op.acknowledged and op.end_s < read.start_s for op in writes):
        return
    later = [op for op in writes if op.acknowledged and op.end_s < read.start_s]
    latest = max(later, key=lambda op: op.start_s, default=None)
    findings.broken(
        f"{read.customer}: attribute {name} is {value}, which is no latest write",
        told(read, evidence.started_s),
        *(told(op, evidence.started_s) for op in of_value),
        "" if latest is None else told(latest, evidence.started_s),
    )


def _may_be_latest(write: Op, read: Op, writes: Iterable[Op]) -> bool:
    if not write.acknowledged:
        return True
    # A PUT or PATCH is a read that began after its own write.
    return not any(
        op.acknowledged and op.start_s > write.end_s and (op is read or op.end_s < read.start_s)
        for op in writes
    )


def _never_back(evidence: Evidence, shown: list[Op], findings: Findings) -> None:
    """A count that a read showed is shown by every read that began after its end."""
    by_customer: dict[str, list[Op]] = defaultdict(list)
    for op in shown:
        by_customer[op.customer].append(op)
    for ops in by_customer.values():
        starts = sorted(ops, key=lambda op: op.start_s)
        ends = sorted(ops, key=lambda op: op.end_s)
        for metric in ("purchases", "clicks"):
            highest: Op | None = None
            at = 0
            for op in starts:
                while ends[at].end_s < op.start_s:
                    if highest is None or ends[at].body["metrics"][metric] > highest.body["metrics"][metric]:
                        highest = ends[at]
                    at += 1
                if highest is not None and op.body["metrics"][metric] < highest.body["metrics"][metric]:
                    findings.broken(
                        f"{op.customer}: {metric} fell",
                        told(highest, evidence.started_s),
                        told(op, evidence.started_s),
                    )


def _found(evidence: Evidence, findings: Findings) -> None:
    """Responses that were answered 404, although what they name was answered shortly before."""
    answered: dict[str, Op] = {}
    starts: dict[str, list[float]] = defaultdict(list)
    for op in evidence.ops:
        if op.kind == "recommend":
            starts[op.customer].append(op.start_s)
            if op.status == 200 and "degraded" not in op.body["meta"]:
                answered[op.body["recommendationId"]] = op
    for op in evidence.ops:
        if op.kind != "respond" or op.status == 0:
            continue
        findings.saw("responses to recommendations")
        named = answered.get(op.request["recommendationId"])
        if op.status != 404 or named is None or named.end_s > op.start_s:
            continue
        times = starts[op.customer]
        between = bisect_left(times, op.end_s) - bisect_left(times, named.start_s)
        if between < _REMEMBERED:
            findings.broken(
                f"{op.customer}: a recommendation was answered and is not known",
                told(named, evidence.started_s),
                told(op, evidence.started_s),
            )
