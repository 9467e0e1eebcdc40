"""Policies about who the customer is: segments, metrics, overrides; and the scope of a segment."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView
from app.decision.metrics import observe
from app.decision.state import Contact, Profile, Window
from tests.decision.building import NOW_MS, contact, creatives, decided, policy, shop, verdict

MAIL = ["card-mail", "house-mail", "car-mail"]
VIP = {"id": "s1", "key": "vip", "name": "VIP", "filter": {"field": "customer.tier", "operator": "eq",
       "value": "gold"}}  # fmt: skip
OLD = {"id": "s2", "name": "Old", "filter": {"field": "customer.age", "operator": "gte", "value": 60}}
VISITS = {"id": "m1", "key": "visits", "aggregate": "count", "eventTypes": ["page"], "windowMs": 60_000}


def catalogue(*policies: dict[str, Any], **more: Any) -> TenantCatalogue:
    """The shop with two segments, a metric and some policies."""
    return shop(segments=[VIP, OLD], behavioral_metrics=[VISITS], contact_policies=policies, **more)


def ann(contacts: tuple[Contact, ...] = (), visits: int = 0, **attributes: Any) -> CustomerView:
    """A customer with attributes, contacts and visits."""
    windows: dict[str, Window] = {}
    for _ in range(visits):
        observe(windows, catalogue().metrics["visits"], NOW_MS, 1.0)
    return CustomerView("ann", Profile(attributes=attributes), windows, contacts)


@pytest.mark.parametrize("reference", ["s1", "vip"])
def test_customers_of_an_excluded_segment_are_left_alone(reference: str) -> None:
    rule = policy("segment_exclusion", {"segmentIds": ["s2", reference]}, ("category", "loans"))
    excluded = decided(catalogue(rule), ann(tier="gold"), channel_id="mail")
    assert creatives(excluded) == ["card-mail"]
    assert verdict(excluded, "car-mail").numbers == {"segmentIds": ["s1"]}
    assert creatives(decided(catalogue(rule), ann(tier="tin"), channel_id="mail")) == MAIL
    assert creatives(decided(catalogue(rule), ann(age=60), channel_id="mail")) == ["card-mail"]


def test_a_caller_that_is_trusted_may_say_the_segment() -> None:
    rule = policy("segment_exclusion", {"segmentIds": ["vip"]})
    assert creatives(decided(catalogue(rule), ann(), channel_id="mail", segments=frozenset({"s1"}))) == []


@pytest.mark.parametrize(
    ("metric", "operator", "value", "visits", "shown"),
    [
        ("visits", "gte", 3, 2, True),
        ("visits", "gte", 3, 3, False),
        ("m1", "greater_than", 3, 3, True),
        ("metrics.visits", "greater_than", 3, 4, False),
        ("visits", "lt", 1, 0, False),
        ("visits", "eq", 2, 2, False),
        ("visits", "exists", None, 0, False),
        ("visits", "in", [1, 2], 2, False),
    ],
)
def test_a_metric_condition_blocks_while_it_holds(
    metric: str, operator: str, value: Any, visits: int, shown: bool
) -> None:
    config = {"metric": metric, "operator": operator, "value": value}
    rule = policy("metric_condition", config, ("offer", "card"))
    result = decided(catalogue(rule), ann(visits=visits), channel_id="mail")
    assert creatives(result) == (MAIL if shown else MAIL[1:])
    if operator == "greater_than" and not shown:
        assert verdict(result, "card-mail").numbers == {
            "metric": "visits", "operator": "gt", "threshold": 3, "actual": 4.0,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("frequency_cap", {"perDay": 2}),
        ("cooldown", {"cooldownMs": 500}),
        ("customer_total_cap", {"max": 2, "windowMs": 500}),
        ("cross_channel_cap", {"max": 2, "windowMs": 500}),
        ("category_suppression", {"windowMs": 500}),
        ("mutual_exclusion", {"offerIds": ["card", "house"], "windowMs": 500}),
        ("segment_exclusion", {"segmentIds": ["s2"]}),
        ("time_window", {"days": ["mon"]}),
        ("metric_condition", {"metric": "visits", "operator": "gte", "value": 1}),
    ],
)
def test_in_the_scope_of_a_segment_a_policy_holds_for_the_customers_in_it(
    kind: str, config: dict[str, Any]
) -> None:
    rules = catalogue(policy(kind, config, ("segment", "vip")))
    past = (contact(1), contact(2), contact(3, "house-mail"), contact(4, "house-mail"))
    for tier, shown in (("gold", False), ("tin", True)):
        result = decided(rules, ann(past, visits=1, tier=tier, age=70), channel_id="mail")
        assert ("card-mail" in creatives(result)) is shown
        assert (creatives(result) == MAIL) is shown


def test_scopes_of_one_policy_stand_each_on_its_own() -> None:
    rules = catalogue(policy("frequency_cap", {"total": 1}, ("segment", "vip"), ("offer", "car")))
    past = (contact(1, "house-mail"),)
    assert creatives(decided(rules, ann(past, tier="gold"), channel_id="mail")) == []
    assert creatives(decided(rules, ann(past, tier="tin"), channel_id="mail")) == MAIL
    past = (contact(1, "car-mail"),)
    assert creatives(decided(rules, ann(past, tier="tin"), channel_id="mail")) == MAIL[:2]


def test_within_a_decision_a_segments_cap_uses_up_room_for_its_customers_only() -> None:
    rules = catalogue(policy("cooldown", {"cooldownMs": 5}, ("segment", "vip")))
    assert creatives(decided(rules, ann(tier="gold"), channel_id="mail")) == ["card-mail"]
    assert creatives(decided(rules, ann(tier="tin"), channel_id="mail")) == MAIL


GOLD = {"when": {"field": "customer.tier", "operator": "eq", "value": "gold"}}
BLOCKS = policy("frequency_cap", {"total": 0})


@pytest.mark.parametrize(
    ("override", "tier", "wanted"),
    [
        (policy("allow_override", GOLD), "gold", MAIL),
        (policy("allow_override", GOLD), "tin", []),
        (policy("allow_override", GOLD, priority=0), "gold", MAIL),
        (policy("allow_override", GOLD, ("offer", "card")), "gold", ["card-mail"]),
        (policy("allow_override", GOLD, ("subcategory", "home")), "gold", ["house-mail"]),
        (policy("allow_override", GOLD, ("segment", "vip")), "gold", MAIL),
        (policy("allow_override", GOLD, ("segment", "s2")), "gold", []),
        (policy("allow_override", {}), "tin", MAIL),
        (policy("allow_override", {"when": {"not": GOLD["when"]}}), "tin", MAIL),
        (policy("allow_override", GOLD, status="paused"), "gold", []),
    ],
)
def test_an_override_lifts_blocks_in_its_scopes_while_its_condition_holds(
    override: dict[str, Any], tier: str, wanted: list[str]
) -> None:
    rules = catalogue({**BLOCKS, "priority": 100}, override)
    assert creatives(decided(rules, ann(tier=tier), channel_id="mail")) == wanted


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("cooldown", {"cooldownMs": 500}),
        ("customer_total_cap", {"max": 1, "windowMs": 500}),
        ("cross_channel_cap", {"max": 1, "windowMs": 500}),
        ("category_suppression", {"windowMs": 500}),
        ("mutual_exclusion", {"offerIds": ["card", "house"], "windowMs": 500}),
        ("segment_exclusion", {"segmentIds": ["s1"]}),
        ("time_window", {"days": ["mon"]}),
        ("metric_condition", {"metric": "visits", "operator": "gte", "value": 0}),
    ],
)
@pytest.mark.parametrize("bypassable", [True, False])
def test_an_override_lifts_every_kind_but_what_cannot_be_bypassed(
    kind: str, config: dict[str, Any], bypassable: bool
) -> None:
    rule = policy(kind, config, ("offer", "card"), bypassable=bypassable)
    past = (contact(1, "card-mail"), contact(2, "house-mail"))
    customer = ann(past, tier="gold")
    assert "card-mail" not in creatives(decided(catalogue(rule), customer, channel_id="mail"))
    lifted = decided(catalogue(rule, policy("allow_override", GOLD)), customer, channel_id="mail")
    assert ("card-mail" in creatives(lifted)) is bypassable


def test_an_override_also_lifts_what_the_decision_itself_used_up() -> None:
    cap = policy("cooldown", {"cooldownMs": 500}, ("category", "loans"))
    rules = catalogue(cap, policy("allow_override", GOLD, ("offer", "car")))
    assert creatives(decided(rules, ann(tier="gold"), channel_id="mail")) == MAIL
    assert creatives(decided(rules, ann(tier="tin"), channel_id="mail")) == MAIL[:2]


def test_what_an_override_lets_through_uses_up_room() -> None:
    cap = policy("frequency_cap", {"perDay": 1})
    rules = catalogue(cap, policy("allow_override", GOLD, ("offer", "card")))
    result = decided(rules, ann(tier="gold"), channel_id="mail")
    assert creatives(result) == ["card-mail"]
    assert verdict(result, "car-mail").numbers["takenInThisDecision"] == 1


def test_an_override_lifts_no_consent() -> None:
    customer = CustomerView("ann", Profile(attributes={"tier": "gold"}, consent={"email": "revoked"}))
    result = decided(catalogue(policy("allow_override", GOLD)), customer, channel_id="mail")
    assert result.removals == {"consent:mail": 3}


def test_an_override_saves_mandatory_offers_too() -> None:
    mandatory = {"id": "car", "name": "Car", "categoryId": "loans", "mandatory": True}
    rules = catalogue(BLOCKS, policy("allow_override", GOLD), offers=[mandatory])
    assert "car-mail" in creatives(decided(rules, ann(tier="gold"), channel_id="mail"))
    assert creatives(decided(rules, ann(tier="tin"), channel_id="mail")) == []
