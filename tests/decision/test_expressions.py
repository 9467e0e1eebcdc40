"""Qualification rules of kind expression, for a customer and for each offer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.decision.catalogue import check_tenant, compile_tenant, users_of
from app.decision.conditions import Environment
from app.decision.decide import CustomerView
from app.decision.known import Known
from app.decision.offer_values import OfferValues
from app.decision.state import Profile
from tests.decision.building import SHOP, creatives, decided, loaded, shop

FIELDS = [
    {"key": "fee", "type": "number", "default": 10},
    {"key": "cost", "type": "computed", "formula": "fee * 12"},
]
CATEGORIES = [
    {"id": "loans", "name": "Loans", "customFields": FIELDS},
    {"id": "cards", "name": "Cards", "customFields": [{"key": "colour", "type": "string"}]},
]
OFFERS = [
    {"id": "card", "name": "Card", "categoryId": "cards", "priority": 90, "fields": {"colour": "gold"}},
    {"id": "house", "name": "House", "categoryId": "loans", "subCategoryId": "home", "priority": 80,
     "fields": {"fee": 100}},
    {"id": "car", "name": "Car", "categoryId": "loans", "priority": 70},
]  # fmt: skip


def expression(formula: str, rule_id: str = "r", **more: Any) -> dict[str, Any]:
    return {"id": rule_id, "name": "r", "kind": "expression", "config": {"formula": formula}, **more}


def chosen(*rules: dict[str, Any], **attributes: Any) -> list[str]:
    """The offers mailed to a customer with these attributes."""
    result = decided(catalogue_with(*rules), CustomerView("ann", Profile(attributes)), channel_id="mail")
    return [one.offer_id for one in result.decisions]


def catalogue_with(*rules: dict[str, Any]) -> Any:
    return shop(categories=CATEGORIES, offers=OFFERS, qualification_rules=list(rules))


ALL = ["card", "house", "car"]


@pytest.mark.parametrize(
    ("formula", "attributes", "offers"),
    [
        ("customer.age >= 18", {"age": 18}, ALL),
        ("customer.age >= 18", {"age": 17}, []),
        ("customer.age >= 18", {}, []),
        ("customer.tier", {"tier": "gold"}, ALL),
        ("customer.tier", {"tier": ""}, []),
        ("1 / 0", {}, []),
        ("coalesce(fee, 0) < 50", {}, ["card", "car"]),
        ("fee < 50", {}, ["car"]),
        ("cost <= customer.income", {"income": 120}, ["car"]),
        ("cost <= customer.income", {"income": 1_200}, ["house", "car"]),
        ("colour == customer.colour", {"colour": "gold"}, ["card"]),
        ("colour == customer.colour", {}, ["house", "car"]),
    ],
)
def test_a_rule_holds_when_its_formula_is_truthy(
    formula: str, attributes: dict[str, Any], offers: list[str]
) -> None:
    assert chosen(expression(formula), **attributes) == offers


def test_a_rule_holds_in_its_scopes_only() -> None:
    scopes = [{"scope": "category", "id": "loans"}]
    assert chosen(expression("fee < 50", scopes=scopes)) == ["card", "car"]
    assert chosen(expression("colour", scopes=scopes)) == ["card"]


def test_fit_rules_by_offer_lower_the_score_and_change_the_order() -> None:
    rules = [
        expression("coalesce(fee, 0) < 50", "cheap", effect="fit", multiplier=0.5),
        expression("customer.age > 1", "aged", effect="fit", multiplier=0.5),
    ]
    result = decided(catalogue_with(*rules), CustomerView("ann", Profile({"age": 5})), channel_id="mail")
    assert [(one.offer_id, one.score) for one in result.decisions] == [
        ("card", 0.9), ("car", 0.7), ("house", 0.4),
    ]  # fmt: skip
    none = decided(catalogue_with(*rules), CustomerView("ann"), channel_id="mail")
    assert [(one.offer_id, one.score) for one in none.decisions] == [
        ("card", 0.45), ("car", 0.35), ("house", 0.2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [(90, 10, "expression:by-offer"), (10, 90, "expression:by-customer")],
)
def test_the_first_failed_rule_is_the_reason_whatever_it_depends_on(
    first: int, second: int, reason: str
) -> None:
    rules = [
        expression("fee < 0", "by-offer", priority=first),
        expression("customer.age > 0", "by-customer", priority=second),
    ]
    assert decided(catalogue_with(*rules)).removals == {reason: 5}


def test_the_trace_shows_formula_and_result() -> None:
    rules = [
        expression("cost - 1000", "cost", scopes=[{"scope": "offer", "id": "card"}]),
        expression("fee < 50", "fee", scopes=[{"scope": "category", "id": "loans"}]),
        expression("customer.age", "age", scopes=[{"scope": "offer", "id": "car"}], priority=99),
    ]
    body = msgspec.json.decode(msgspec.json.encode(decided(catalogue_with(*rules)).trace))
    found = {one["creativeId"]: (one["ruleId"], one["numbers"]) for one in body["stages"][2]["candidates"]}
    assert found["house-mail"] == ("fee", {"formula": "fee < 50", "result": False})
    assert found["card-mail"] == ("cost", {"formula": "cost - 1000", "result": None})
    assert found["car-mail"] == ("age", {"formula": "customer.age", "result": None})
    assert 'house (expression:fee formula="fee < 50" result=false)' in body["stages"][2]["filtered"]


def test_names_and_metrics_of_a_rule_must_exist() -> None:
    documents: dict[str, Any] = {**SHOP, "categories": [*CATEGORIES, SHOP["categories"][1]]}
    documents["qualification-rules"] = [
        expression("fe > 1", "a"),
        expression("metrics.gone > metrics.m", "b"),
        expression("fee + colour", "c"),
    ]
    documents["behavioral-metrics"] = [{"id": "m1", "key": "m", "aggregate": "count", "eventTypes": ["page"]}]
    entities = loaded(documents)
    assert {one.path: one.message for one in check_tenant("t", entities)} == {
        "qualification-rules[a].config.formula":
            "line 1, column 1: there is no custom field fe; did you mean fee?",
        "qualification-rules[b].config.formula": "there is no gone among the behavioral-metrics",
    }  # fmt: skip
    assert users_of("behavioral-metrics", "m1", entities) == [("qualification-rules", "b")]
    assert creatives(decided(compile_tenant("t", entities))) == []


@pytest.mark.parametrize(("only", "left"), [("house-mail", "house-site"), ("house-site", "house-mail")])
def test_creatives_of_an_offer_may_be_under_different_rules(only: str, left: str) -> None:
    scopes = [{"scope": "creative", "id": only}]
    rules = [expression("fee < 50", "one", scopes=scopes), expression("fee == 100", "all")]
    assert creatives(decided(catalogue_with(*rules))) == [left]


def test_a_rule_is_evaluated_once_for_each_offer_that_it_is_about() -> None:
    asked: list[str] = []

    class Counting(dict[str, Any]):
        def get(self, name: str, default: object = None, /) -> object:
            asked.append(name)
            return super().get(name, default)

    rules = [
        expression("cost > customer.x", "loans", scopes=[{"scope": "category", "id": "loans"}]),
        expression("coalesce(fee, 1) > customer.y", "all", effect="fit", multiplier=0.5),
        expression("customer.z", "once"),
    ]
    flow = catalogue_with(*rules).resolve_flow(None, None, None)
    spaces: dict[str, Any] = {name: {} for name in ("metrics", "attributes", "context", "time")}
    environment: Environment = {**spaces, "customer": Counting(x=1, y=50)}
    known = Known(environment, OfferValues(environment), lambda _: False, (), lambda _: 0.5, 0)
    verdicts = flow.rules.verdicts(known)
    pool = flow.pool(None, None, None).candidates
    assert asked == ["z"]
    for _ in range(2):
        found = {one.creative.id: (verdicts.disqualified(one), verdicts.fit(one)) for one in pool}
    assert sorted(asked) == ["x"] * 2 + ["y"] * 3 + ["z"]
    ids = [rule.reason.rule_id for rule in flow.rules.rules]
    once = 1 << ids.index("once")
    assert found == {
        "card-mail": (once, 0.5),
        "card-site": (once, 0.5),
        "house-mail": (once, 1.0),
        "house-site": (once, 1.0),
        "car-mail": (once, 0.5),
    }
