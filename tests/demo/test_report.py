"""What the demo prints, in narrow terminals too."""

from __future__ import annotations

import pytest

from app.demo.funnel import read_funnel
from app.demo.report import Report
from app.demo.story import Cap, Shown


def removed(offer: str, stage: str, rule: str, **numbers: object) -> dict[str, object]:
    why = {"stage": stage, "reason": "kind", "ruleId": rule, "numbers": numbers}
    return {"offerId": offer, "verdict": "removed", **why}


ANSWER = {"count": 0, "meta": {"totalCandidates": 3, "afterQualification": 2, "afterContactPolicy": 0}}
CANDIDATES = [
    removed("vinyl", "qualify", "five", field="metrics.cds_total", operator="gte", expected=5, actual=3.0),
    removed("jazz", "contact_policy", "daily", count=3, max=3),
    removed("rock", "contact_policy", "daily", count=3, max=3),
]
FUNNEL = read_funnel(ANSWER, {"stages": [{"name": "filter", "candidates": CANDIDATES}]}, {"five": "Five CDs"})


def test_removals_are_told_by_step_with_the_rules_name_and_what_it_compared() -> None:
    assert FUNNEL.not_qualified == ["1 removed (vinyl): Five CDs [cds_total is 3, not ≥ 5]"]
    assert FUNNEL.not_contactable == ["2 removed (jazz, rock): daily [3 of 3 used]"]
    assert FUNNEL.not_ranked == []
    assert (FUNNEL.candidates, FUNNEL.qualified, FUNNEL.contactable, FUNNEL.delivered) == (3, 2, 0, 0)


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_breaks_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    report = Report(to_stderr=False)
    offer = "Early access to limited editions of the season"
    report.offers([Shown("1", "Ann", 1, 9.5, offer, 0.9, "")])
    report.cap(Cap("1", [1, 0], True, FUNNEL))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert offer in " ".join(printed.split())
