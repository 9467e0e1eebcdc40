"""`stages`: what each stage of a decision costs for each candidate.

Each stage's function is wrapped in a clock for the run; a clock costs about 0.2 µs a call, once a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import app.decision.decide as decision
from app.decision.policies import PolicyBoard
from app.decision.qualification import RuleBoard
from app.decision.ranking import Ranking
from tests.bench.catalogues import Documents, shop
from tests.bench.core import OFFERS, compiled, deciding
from tests.bench.report import Table

#: (stage, what holds its function, the function's name)
_STAGES: tuple[tuple[str, Any, str], ...] = (
    ("inventory", decision, "stock"),
    ("enrich", decision, "enrich"),
    ("qualify", RuleBoard, "verdicts"),
    ("qualify", decision, "qualify"),
    ("consent", decision, "respect_consent"),
    ("policies", PolicyBoard, "assess"),
    ("policies", decision, "apply_policies"),
    ("filters", decision, "apply_filters"),
    ("score", decision, "score"),
    ("rank", Ranking, "fill"),
    ("render", decision, "_render"),
)
_NAMES = tuple(dict.fromkeys(stage for stage, _, _ in _STAGES))


def stages(seconds: float) -> list[Table]:
    """A table for a plain flow and one for a flow that uses everything; about `seconds` for each row."""
    return [
        _table("priority_weighted, every policy a rolling window", shop, seconds),
        _table(
            "computed fields, rules by formula, calendar windows, a filter, scoring by formula", full, seconds
        ),
    ]


def _table(title: str, documents: Callable[[int], Documents], seconds: float) -> Table:
    columns = ["offers", "whole µs", *(f"{name} ns" for name in _NAMES)]
    table = Table(f"Stages, for each candidate: {title}", columns)
    for offers in OFFERS:
        decide = deciding(compiled(documents(offers)), trace=False)
        spent, calls, whole_ns = _measured(decide, seconds)
        table.add(offers, whole_ns / calls / 1_000, *(spent.get(name, 0) / calls / offers for name in _NAMES))
    table.notes.append("Mean of all calls; ns of each stage divided by the number of offers.")
    return table


def _measured(decide: Callable[[], object], seconds: float) -> tuple[dict[str, int], int, int]:
    """Nanoseconds by stage, how many decisions, and their nanoseconds altogether."""
    for _ in range(20):
        decide()
    spent: dict[str, int] = {}
    calls = whole_ns = 0
    with _clocked(spent):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.perf_counter_ns()
            decide()
            whole_ns += time.perf_counter_ns() - begun
            calls += 1
    return spent, calls, whole_ns


@contextmanager
def _clocked(spent: dict[str, int]) -> Iterator[None]:
    """Every stage's function with a clock around it that adds to `spent`."""
    patches = [
        patch.object(holder, name, _clock(stage, getattr(holder, name), spent))
        for stage, holder, name in _STAGES
    ]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def _clock(stage: str, function: Callable[..., Any], spent: dict[str, int]) -> Callable[..., Any]:
    def clocked(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter_ns()
        try:
            return function(*arguments, **named)
        finally:
            spent[stage] = spent.get(stage, 0) + time.perf_counter_ns() - begun

    return clocked


def full(offers: int) -> Documents:
    """`shop` with everything that a flow can use; nobody is refused."""
    documents = shop(offers)
    fields = [
        {"key": "rate", "type": "number", "default": 10},
        {"key": "yearly", "type": "computed", "formula": "rate * 12 + coalesce(customer.age, 0)"},
    ]
    for category in documents["categories"]:
        category["customFields"] = fields
    documents["qualification-rules"].append(
        {"id": "dear", "name": "Dear", "kind": "expression", "config": {"formula": "yearly > 0"}}
    )
    documents["segments"] = [
        {"id": "young", "name": "Young", "filter": {"field": "customer.age", "operator": "lt", "value": 18}}
    ]
    documents["contact-policies"] += [
        {
            "id": "day",
            "name": "Day",
            "kind": "frequency_cap",
            "calendar": True,
            "config": {"perDay": 900_000},
        },
        {"id": "minors", "name": "Minors", "kind": "segment_exclusion", "config": {"segmentIds": ["young"]}},
        {"id": "night", "name": "Night", "kind": "time_window", "config": {"from": "00:00", "to": "23:59"}},
    ]
    documents["tenant-settings"] = [{"id": "settings", "timeZone": "Europe/Berlin"}]
    documents["decision-flows"][0].update(
        filters=[{"field": "offer.rate", "operator": "gt", "value": 1}],
        scoring={"method": "formula"},
    )
    return documents
