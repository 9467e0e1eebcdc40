"""The trace: the documented shape, and a verdict with numbers for every candidate."""

from __future__ import annotations

from typing import Any

import msgspec

from app.decision.decide import CustomerView
from app.decision.state import Profile, Window
from tests.decision.building import contact, decided, policy, shop

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
        "verdict": "chosen", "score": 0.9, "rank": 1,
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


def test_candidates_beyond_the_limit_were_not_reached() -> None:
    result = decided(shop(), channel_id="mail", limit=1)
    assert result.trace is not None
    verdicts = [one.verdict for one in result.trace.stages[2].candidates]  # type: ignore[union-attr]
    assert verdicts == ["chosen", "not_reached", "not_reached"]
    assert result.removals == {}
