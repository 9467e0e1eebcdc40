"""Everything acknowledged is in its topic, and its fold says of it what the client was told.

Rules:

1.  A producer's acknowledgement names an offset: that record is there, byte for byte.
2.  201 and 200 of respond, ingest and customers: a record with the operation's number is in the topic, and
    folded with the verdict that was answered. 409: one is there as a conflict. What was answered from the
    spool is there too, folded at least once or dropped as a duplicate.
3.  Every misplaced record comes again through `rekeyed`, with the same bytes.
"""

from __future__ import annotations

from config.topics import HEADER_ORIGIN, REKEYED
from tests.stress.checks.telling import in_spool, told
from tests.stress.evidence import Evidence, Findings, Record
from tests.stress.history import Op
from tests.stress.refolding import Refolded


def acknowledged_writes(evidence: Evidence, refolded: Refolded) -> Findings:
    """What was acknowledged is there, and counted as was said."""
    findings = Findings("acknowledged writes")
    _produced(evidence, findings)
    for op in evidence.ops:
        expected = _expected(op)
        if expected is None:
            continue
        findings.saw(f"{op.kind} {op.status}")
        verdicts = refolded.of_op(op.number)
        if not verdicts:
            findings.broken("an answered write is not in its topic", told(op, evidence.started_s))
        elif expected not in verdicts and not (in_spool(op) and "duplicate" in verdicts):
            findings.broken(
                f"a write was answered as {expected}, its records were folded as {verdicts}",
                told(op, evidence.started_s),
                refolded.written_by[op.number],
            )
    _misplaced(evidence, refolded, findings)
    return findings


def _expected(op: Op) -> str | None:
    if op.kind == "respond":
        return {201: "recorded", 200: "duplicate", 409: "conflict"}.get(op.status)
    if op.kind == "ingest" and op.status == 200:
        return "duplicate" if op.body.get("status") == "duplicate" else "recorded"
    if op.kind in ("put", "patch") and op.acknowledged:
        return "recorded"
    return None


def _produced(evidence: Evidence, findings: Findings) -> None:
    by_offset: dict[tuple[str, int, int], Record] = {
        (topic, partition, record.offset): record
        for (topic, partition), records in evidence.records.items()
        for record in records
    }
    for op in evidence.ops:
        if op.kind != "produce" or not op.acknowledged:
            continue
        findings.saw("produced")
        place = (op.request["topic"], op.body["partition"], op.body["offset"])
        record = by_offset.get(place)
        if record is None or (record.value or b"").hex() != op.request["value"]:
            findings.broken(f"an acknowledged record is not at {place}", told(op, evidence.started_s), record)


def _misplaced(evidence: Evidence, refolded: Refolded, findings: Findings) -> None:
    again: dict[str, list[Record]] = {}
    for (topic, _), records in evidence.records.items():
        if topic == REKEYED:
            for record in records:
                again.setdefault(record.headers[HEADER_ORIGIN].decode(), []).append(record)
    findings.saw("re-keyed", len(refolded.misplaced))
    for place, record in refolded.misplaced.items():
        values = {one.value for one in again.get(place, ())}
        if values != {record.value}:
            findings.broken(f"the misplaced record {place} was re-keyed as {values}", record)
    for place in again.keys() - refolded.misplaced.keys():
        findings.broken(f"{place} was re-keyed, but was not folded there as misplaced", again[place])
