"""No cap is exceeded by anything that a client received.

Rules:

1.  On push a decision is a contact, of the instant it says (`processedAt`). No window that ends at such an
    instant holds more received decisions than the cap allows. A contact counts while it is younger than the
    window.
2.  So do the decisions on the log, whether received or not: a decision that nobody may have received counts
    as a contact, so those after it must leave room for it.
3.  On web an offer is not answered once its impressions fill the cap: those acknowledged before the request
    began, and certainly younger than the window at the instant of the decision.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from config.topics import DECISIONS
from tables.layout import FENCE_KEY
from tests.stress.catalogue import PUSH_CAPS, WEB_CAP, Cap
from tests.stress.checks.telling import told
from tests.stress.evidence import Evidence, Findings
from tests.stress.history import Op
from tests.stress.refolding import Refolded

#: When, and what says so.
Contact = tuple[int, str]


def push_caps(evidence: Evidence, _: Refolded) -> Findings:
    """Implicit channels: by what clients received, and by what is on the log."""
    findings = Findings("push caps")
    received: dict[str, list[Contact]] = defaultdict(list)
    for op in _recommends(evidence):
        at_ms = _epoch_ms(op.body["processedAt"])
        for decision in op.body["decisions"]:
            if decision["channelId"] == "push":
                received[op.customer].append((at_ms, told(op, evidence.started_s)))
    _hold(received, "received", findings)
    logged: dict[str, list[Contact]] = defaultdict(list)
    for (topic, partition), records in evidence.records.items():
        for record in records if topic == DECISIONS else ():
            if record.key == FENCE_KEY:
                continue
            body = json.loads(record.value or b"")
            where = f"decisions/{partition}/{record.offset} {body['recommendationId']} at {body['atMs']}"
            for _ in body.get("contactRanks", ()):
                logged[body["customerId"]].append((body["atMs"], where))
    _hold(logged, "logged", findings)
    return findings


def _hold(contacts: dict[str, list[Contact]], what: str, findings: Findings) -> None:
    for customer, entries in contacts.items():
        entries.sort()
        findings.saw(f"decisions {what}", len(entries))
        times = [at_ms for at_ms, _ in entries]
        for cap in PUSH_CAPS:
            worst = max(((_in_window(times, at_ms, cap), at_ms) for at_ms in times), default=(0, 0))
            findings.saw(f"{what}: customers at the cap of {cap.most}", worst[0] >= cap.most)
            if worst[0] > cap.most:
                inside = [entry for at_ms, entry in entries if worst[1] - cap.window_ms < at_ms <= worst[1]]
                findings.broken(
                    f"{customer}: {worst[0]} push decisions {what} in {cap.window_ms} ms, cap {cap.most}",
                    *inside,
                )


def _in_window(times: list[int], at_ms: int, cap: Cap) -> int:
    return bisect_right(times, at_ms) - bisect_right(times, at_ms - cap.window_ms)


def explicit_caps(evidence: Evidence, _: Refolded) -> Findings:
    """Explicit channels: acknowledged impressions before the request fill the cap."""
    findings = Findings("web caps")
    impressions: dict[tuple[str, str], dict[str, Op]] = defaultdict(dict)
    for op in evidence.ops:
        if op.kind == "respond" and op.status == 201 and op.body["outcome"] == "impression":
            impressions[op.customer, op.body["offerId"]].setdefault(op.request["idempotencyKey"], op)
            findings.saw("impressions acknowledged")
    for op in _recommends(evidence):
        at_ms = _epoch_ms(op.body["processedAt"])
        for decision in op.body["decisions"]:
            if decision["channelId"] != "web":
                continue
            findings.saw("decisions received")
            known = impressions[op.customer, decision["offerId"]].values()
            full = [
                one for one in known if one.end_s < op.start_s and one.wall_ms > at_ms - WEB_CAP.window_ms
            ]
            if len(full) >= WEB_CAP.most:
                findings.broken(
                    f"{op.customer}: {decision['offerId']} was answered after {len(full)} impressions",
                    *(told(one, evidence.started_s) for one in (*full, op)),
                )
    _at_the_cap(evidence, impressions.values(), findings)
    return findings


def _at_the_cap(evidence: Evidence, impressions: Iterable[dict[str, Op]], findings: Findings) -> None:
    """How often a cap was reached at all: without that the check says nothing."""
    for known in impressions:
        times = sorted(op.wall_ms for op in known.values())
        reached = sum(_in_window(times, at_ms, WEB_CAP) >= WEB_CAP.most for at_ms in times)
        findings.saw("times an offer was at the cap", reached)


def _recommends(evidence: Evidence) -> Iterable[Op]:
    return (op for op in evidence.ops if op.kind == "recommend" and op.status == 200)


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
