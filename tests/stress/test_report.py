"""The report shows every kind of violation, however many there are of another."""

from __future__ import annotations

import json

from tests.stress.evidence import Evidence, Findings
from tests.stress.history import History
from tests.stress.report import report, summary
from tests.stress.run import Plan


def _findings() -> list[Findings]:
    live, caps = Findings("liveness"), Findings("push caps")
    live.saw("answers", 40)
    for number in range(30):
        live.broken("recommend was answered 400", f"op {number}")
    live.broken("recommend was answered 500", "op 99")
    for number in range(9):
        caps.broken(f"c0{number}: {number + 4} push decisions received in 40000 ms, cap 3")
    return [live, caps]


def test_a_rare_violation_is_shown_beside_a_frequent_one() -> None:
    text = report(_findings(), Evidence(8))
    assert text.count("answered 400") == 3
    assert "and 27 more like it" in text
    assert "answered 500" in text
    assert "op 99" in text
    assert text.count("push decisions received") == 3
    assert "40 violations" in text


def test_the_summary_is_one_line_of_json_with_the_seed_and_the_counts() -> None:
    line = summary(Plan(7, 5, 3, 3, ()), History(), _findings(), Evidence(8))
    read = json.loads(json.dumps(line))
    assert read["seed"] == 7
    assert read["violations"] == {"liveness": 31, "push caps": 9}
    assert read["checks"]["liveness"] == {"answers": 40}
