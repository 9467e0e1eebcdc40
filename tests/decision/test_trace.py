"""The trace: the documented shape, and a verdict with numbers for every candidate."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.decide import CustomerView, Decided
from app.decision.plain import in_a_word, plain
from app.decision.state import Profile, Window
from app.decision.trace import CandidateTrace, FilterStage
from tests.decision.building import contact, decided, flow, policy, shop, verdict

AGE = {
    "id": "grown-up",
    "name": "r",
    "kind": "attribute_condition",
    "scopes": [{"scope": "offer", "id": "house"}],
    "config": {"field": "age", "operator": "gte", "value": 18},
}


def traced() -> dict[str, Any]:
    """The trace, as JSON, of a decision in which each stage removes something."""
    catalogue = shop(
        qualification_rules=[AGE],
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("offer", "car"))],
        behavioral_metrics=[{"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}],
    )
    customer = CustomerView(
        "ann", Profile({"age": 17}, ("vip",)), {"visits": Window(0, {0: 4.0})}, [contact(5, "car-mail")]
    )
    result = decided(catalogue, customer, attributes={"tier": "gold"})
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result.trace))
    return body


def candidates_of(result: Decided) -> tuple[CandidateTrace, ...]:
    """What became of every candidate."""
    assert result.trace is not None
    stage = result.trace.stages[2]
    assert isinstance(stage, FilterStage)
    return stage.candidates


def test_the_stages_have_the_documented_names_and_fields() -> None:
    body = traced()
    stages = body["stages"]
    assert [stage["name"] for stage in stages] == ["enrich", "compute", "filter", "score", "rank"]
    assert all(stage["duration"] == 1.0 for stage in stages)
    assert body["totalDuration"] == 5.0
    enrich, compute, filtered, scored, ranked = stages
    assert enrich["input"] == {"customerId": "ann", "attributes": {"tier": "gold"}, "context": {}}
    assert enrich["output"] == {"customer.age": 17, "customer.tags": ["vip"], "metrics.visits": 4.0}
    assert compute["computed"] == {}
    assert (filtered["candidatesIn"], filtered["candidatesOut"]) == (5, 2)
    assert scored["scores"] == {"card": 0.9}
    assert ranked["finalOrder"] == ["card"]


def test_what_was_filtered_is_named_in_words() -> None:
    _, _, filtered, _, ranked = traced()["stages"]
    assert filtered["filtered"] == [
        "house (attribute_condition:grown-up field=customer.age operator=gte expected=18 actual=17)",
        "house (attribute_condition:grown-up field=customer.age operator=gte expected=18 actual=17)",
        "car (frequency_cap:frequency_cap count=1 max=1 windowMs=86400000)",
    ]
    assert ranked["filtered"] == ["card (one_creative_per_offer)"]


def test_every_candidate_has_a_verdict_with_the_numbers_compared() -> None:
    candidates = {one["creativeId"]: one for one in traced()["stages"][2]["candidates"]}
    assert len(candidates) == 5
    assert candidates["card-mail"] == {
        "offerId": "card", "creativeId": "card-mail", "channelId": "mail",
        "verdict": "chosen", "fit": 1.0, "score": 0.9, "rank": 1, "selectionProbability": 1.0,
        "factors": {"method": "priority_weighted", "priority": 90, "weight": 100},
    }  # fmt: skip
    assert candidates["house-mail"] == {
        "offerId": "house", "creativeId": "house-mail", "channelId": "mail", "verdict": "removed",
        "stage": "qualify", "reason": "attribute_condition", "ruleId": "grown-up",
        "numbers": {"field": "customer.age", "operator": "gte", "expected": 18, "actual": 17},
    }  # fmt: skip
    assert candidates["car-mail"] == {
        "offerId": "car", "creativeId": "car-mail", "channelId": "mail", "verdict": "removed",
        "stage": "contact_policy", "reason": "frequency_cap", "ruleId": "frequency_cap",
        "numbers": {"count": 1, "max": 1, "windowMs": 86_400_000},
    }  # fmt: skip
    assert candidates["card-site"]["stage"] == "rank"
    assert candidates["card-site"]["reason"] == "one_creative_per_offer"
    assert candidates["card-site"]["placementId"] == "hero"
    assert candidates["card-site"]["factors"] == candidates["card-mail"]["factors"]


def test_candidates_beyond_the_limit_were_not_reached() -> None:
    result = decided(shop(), channel_id="mail", limit=1)
    assert result.trace is not None
    verdicts = [one.verdict for one in result.trace.stages[2].candidates]  # type: ignore[union-attr]
    assert verdicts == ["chosen", "not_reached", "not_reached"]
    assert result.removals == {}


def test_a_fit_rule_shows_in_the_candidates_it_concerns() -> None:
    fit = {**AGE, "effect": "fit", "multiplier": 0.5}
    result = decided(shop(qualification_rules=[fit]), CustomerView("ann", Profile({"age": 17})))
    house, card = verdict(result, "house-mail"), verdict(result, "card-mail")
    assert (house.verdict, house.fit, house.score) == ("chosen", 0.5, 0.4)
    assert (card.fit, card.score) == (1.0, 0.9)


def test_an_exploring_flow_shows_the_probability_that_each_was_picked() -> None:
    model = {"id": "m", "key": "m", "name": "m", "kind": "epsilon_greedy"}
    scoring = {"method": "propensity", "modelId": "m"}
    result = decided(shop(models=[model], decision_flows=flow(scoring=scoring)), channel_id="mail", limit=1)
    shown = [one for one in candidates_of(result) if one.selection_probability is not None]
    assert [one.verdict for one in shown] == ["chosen"]
    assert shown[0].selection_probability == result.decisions[0].selection_probability
    assert 0 < (shown[0].selection_probability or 0) < 1
    assert shown[0].factors["method"] == "propensity"


def test_what_python_and_json_write_differently_is_written_as_json() -> None:
    values = {"field": "town", "operator": "in", "value": ["Rome", "New York"]}
    rules = [{**AGE, "scopes": [], "config": values}]
    result = decided(shop(qualification_rules=rules), CustomerView("ann", Profile({"age": 17})), limit=1)
    assert result.trace is not None
    texts = result.trace.stages[2].filtered  # type: ignore[union-attr]
    assert texts[0] == (
        'card (attribute_condition:grown-up field=customer.town operator=in expected=["Rome","New York"] '
        "actual=null)"
    )


ODD = st.sampled_from(
    [math.nan, math.inf, -math.inf, 2**70, -(2**70), 10**400, "\ud800", {1, 2}, b"x", {1: {}}]
)


@given(odd=ODD | st.recursive(ODD, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_whatever_was_compared_the_trace_is_json_that_any_reader_takes(odd: Any) -> None:
    rules = [{**AGE, "scopes": [], "config": {"field": "attributes.x", "operator": "exists"}}]
    for wanted in ("exists", "not_exists"):
        rules[0]["config"] = {"field": "attributes.x", "operator": wanted}
        result = decided(shop(qualification_rules=rules), attributes={"x": odd}, context={"x": odd})
        text = msgspec.json.encode(result.trace).decode()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    ("value", "shown", "word"),
    [
        (None, None, "null"),
        (True, True, "true"),
        (1.5, 1.5, "1.5"),
        (2**64, 2.0**64, "1.8446744073709552e19"),
        (10**400, None, "null"),
        (math.inf, None, "null"),
        ("visits", "visits", "visits"),
        ("true", "true", '"true"'),
        ("18", "18", '"18"'),
        ("two words", "two words", '"two words"'),
        ((1, "a"), [1, "a"], '[1,"a"]'),
        (frozenset({"b", "a"}), ["a", "b"], '["a","b"]'),
        ({"a": None}, {"a": None}, '{"a":null}'),
        (datetime(2026, 3, 10, tzinfo=UTC), "2026-03-10T00:00:00+00:00", '"2026-03-10T00:00:00+00:00"'),
        ("x" * 300, "x" * 300, "x" * 200 + "…"),
    ],
)
def test_values_as_json_and_in_a_word(value: object, shown: object, word: str) -> None:
    assert plain(value) == shown
    assert in_a_word(value) == word


def test_values_nested_too_deeply_end_somewhere() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert "…" in msgspec.json.encode(plain(nested)).decode()
