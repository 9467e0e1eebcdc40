"""A decision's funnel, read from its answer and its trace: what was left after each step, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.demo.shop import Shop, recommend
from app.demo.watching import DemoError

_NAMED_OFFERS = 2
_OPERATORS = {"gte": "≥", "gt": ">", "lte": "≤", "lt": "<", "eq": "=", "neq": "≠"}
#: Stages of the trace by the step of the funnel they belong to; consent counts as contact policy.
_STEPS = {"inventory": "qualify", "qualify": "qualify", "rank": "rank"}
_WORDS = {
    "consent": "no consent for the channel",
    "excluded_offer": "left out by the caller",
    "excluded_creative": "left out by the caller",
    "floor": "scored under the floor",
    "max_per_category": "enough of their category",
    "one_creative_per_offer": "another message of the same offer",
    "deduplicate": "in another placement",
}


class Funnel(msgspec.Struct, frozen=True):
    """How many candidates were left after each step, and each step's removals in plain words."""

    candidates: int
    qualified: int
    contactable: int
    delivered: int
    not_qualified: list[str]
    not_contactable: list[str]
    not_ranked: list[str]


async def see_through(
    shop: Shop, names: Mapping[str, str], customer_id: str, channel: str, limit: int
) -> tuple[Any, Funnel]:
    """Ask for offers with a trace; returns the answer and its funnel.

    Args:
        names: of rules and policies, by id.

    Raises:
        DemoError: there is no trace to read.
    """
    answer = await recommend(shop, customer_id, channel, limit=limit, trace=True)
    trace = await shop.call("GET", f"/api/v1/decision-traces/{answer.get('traceId')}")
    if trace is None:
        raise DemoError("the decision has no trace: it did not reach the log")
    return answer, read_funnel(answer, trace, names)


def read_funnel(answer: Any, trace: Any, names: Mapping[str, str]) -> Funnel:
    """The funnel of an answer and its trace."""
    (filtered,) = [stage for stage in trace["stages"] if stage["name"] == "filter"]
    steps: dict[str, list[Any]] = {"qualify": [], "contact": [], "rank": []}
    for candidate in filtered["candidates"]:
        if candidate["verdict"] == "removed":
            steps[_STEPS.get(candidate["stage"], "contact")].append(candidate)
    meta = answer["meta"]
    return Funnel(
        candidates=meta["totalCandidates"],
        qualified=meta["afterQualification"],
        contactable=meta["afterContactPolicy"],
        delivered=answer["count"],
        not_qualified=_by_reason(steps["qualify"], names),
        not_contactable=_by_reason(steps["contact"], names),
        not_ranked=_by_reason(steps["rank"], names),
    )


def _by_reason(removed: list[Any], names: Mapping[str, str]) -> list[str]:
    """One line for each reason, the one that removed most first."""
    together: dict[str, list[str]] = {}
    for candidate in removed:
        together.setdefault(_reason(candidate, names), []).append(candidate["offerId"])
    return [
        f"{len(offers)} removed{_named(offers)}: {reason}"
        for reason, offers in sorted(together.items(), key=lambda item: -len(item[1]))
    ]


def _named(offers: list[str]) -> str:
    return f" ({', '.join(offers)})" if len(offers) <= _NAMED_OFFERS else ""


def _reason(candidate: Any, names: Mapping[str, str]) -> str:
    """The rule's name, or what the engine calls the reason; and what it compared."""
    rule_id, kind = candidate.get("ruleId"), candidate["reason"]
    said: str = _WORDS.get(kind, kind) if rule_id is None else names.get(rule_id, rule_id)
    numbers = candidate.get("numbers") or {}
    if "actual" in numbers and "expected" in numbers:
        field = str(numbers.get("field", "")).removeprefix("metrics.")
        operator = _OPERATORS.get(str(numbers.get("operator")), str(numbers.get("operator")))
        return (
            f"{said} [{field} is {_short(numbers['actual'])}, not {operator} {_short(numbers['expected'])}]"
        )
    if "count" in numbers and "max" in numbers:
        return f"{said} [{numbers['count']} of {numbers['max']} used]"
    return said


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
