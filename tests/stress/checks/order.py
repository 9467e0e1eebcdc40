"""The control records tell one history: every offset of every topic folded once, in order, by rising epochs.

Rules:

1.  The ranges of a partition's control records, in the changelog's order, cover each topic from 0 to its end
    without a gap and without an overlap.
2.  The positions that a control record says are the ends of the ranges so far.
3.  An epoch never follows a higher one.
4.  A changelog with holes (compacted) cannot be judged, and is a violation: the run was too long for this.
"""

from __future__ import annotations

from config.topics import SOURCE_TOPICS
from tests.stress.evidence import Evidence, Findings, Step
from tests.stress.refolding import Refolded


def control_records(evidence: Evidence, _: Refolded) -> Findings:
    """Gaps, overlaps, wrong positions, epochs that go back."""
    findings = Findings("control records")
    for partition in range(evidence.partitions):
        if evidence.holes.get(partition):
            findings.broken(f"partition {partition}: {evidence.holes[partition]} changelog offsets are gone")
        reached = dict.fromkeys(SOURCE_TOPICS, 0)
        epoch = -1
        for step in evidence.steps.get(partition, ()):
            findings.saw("control records")
            _follow(partition, step, reached, findings)
            if step.epoch < epoch:
                findings.broken(f"partition {partition}: epoch {step.epoch} follows {epoch}", step)
            findings.saw("epochs", step.epoch > epoch)
            epoch = max(epoch, step.epoch)
        for topic in SOURCE_TOPICS:
            end = evidence.ends.get((topic, partition), 0)
            findings.saw("offsets", end)
            if reached[topic] != end:
                findings.broken(
                    f"partition {partition}: {topic} is folded up to {reached[topic]}, it ends at {end}"
                )
    return findings


def _follow(partition: int, step: Step, reached: dict[str, int], findings: Findings) -> None:
    for topic, first, end in step.folded:
        if first != reached[topic] or end < first:
            what = "again" if first < reached[topic] else "with a gap"
            findings.broken(
                f"partition {partition}: {topic} {first} to {end} was folded {what}, "
                f"{reached[topic]} was reached",
                step,
            )
        reached[topic] = end
    for topic, position in step.positions.items():
        if position != reached[topic]:
            findings.broken(
                f"partition {partition}: the control record says {topic} {position}, "
                f"its ranges end at {reached[topic]}",
                step,
            )
            reached[topic] = position
