"""Dead letters are exactly the records that were made bad, with their bytes.

Rules:

1.  Each bad record that is in a topic has a dead letter, by its origin; a crash may write it twice.
2.  Key and value are the original's. No other record has a dead letter.
"""

from __future__ import annotations

from config.topics import DEAD_LETTERS, HEADER_ORIGIN
from tests.stress.evidence import Evidence, Findings, Record
from tests.stress.refolding import Refolded


def dead_letters(evidence: Evidence, refolded: Refolded) -> Findings:
    """Missing, wrong and unfounded dead letters."""
    findings = Findings("dead letters")
    found: dict[str, list[Record]] = {}
    for (topic, _), records in evidence.records.items():
        for record in records if topic == DEAD_LETTERS else ():
            found.setdefault(record.headers[HEADER_ORIGIN].decode(), []).append(record)
    findings.saw("bad records", len(refolded.bad))
    findings.saw("dead letters", sum(map(len, found.values())))
    for place, record in refolded.bad.items():
        letters = found.get(place, [])
        if not letters:
            findings.broken(f"the bad record {place} has no dead letter", record)
        for letter in letters:
            if (letter.key, letter.value) != (record.key, record.value):
                findings.broken(f"the dead letter of {place} has other bytes", record, letter)
    for place in sorted(found.keys() - refolded.bad.keys()):
        findings.broken(f"{place} has a dead letter, and was not made bad", *found[place])
    return findings
