"""Computed fields: what is refused, what they give, and where their values appear."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.decision.catalogue import check_tenant, compile_tenant, load_entity
from app.decision.conditions import Environment
from app.decision.decide import CustomerView, PlacementRequest
from app.decision.entities import Category, Entity
from app.decision.offer_values import OfferValues
from app.decision.problems import Problem
from app.decision.state import Profile, Window
from tests.decision.building import NOW_MS, SHOP, decided, loaded, merged, refused, shop
from tests.decision.test_catalogue import problems

ANN = CustomerView("ann", Profile({"score": 720, "firstName": "Ann"}), {"visits": Window(0, {0: 4.0})})


def computed(key: str, formula: str, output_type: str | None = None) -> dict[str, Any]:
    field = {"key": key, "type": "computed", "formula": formula}
    return field if output_type is None else {**field, "outputType": output_type}


def plain(key: str, kind: str, default: Any = None) -> dict[str, Any]:
    return {"key": key, "type": kind, "default": default}


def loans(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "loans", "name": "Loans", "customFields": list(fields), **more}


def home(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"id": "home", "name": "Home loans", "parentId": "loans", "customFields": list(fields)}


def car(**fields: Any) -> dict[str, Any]:
    return {"id": "car", "name": "Car", "categoryId": "loans", "priority": 70, "fields": fields}


def house(**fields: Any) -> dict[str, Any]:
    return {"id": "house", "name": "House", "categoryId": "loans", "subCategoryId": "home", "priority": 80,
            "fields": fields}  # fmt: skip


def personalization(*categories: dict[str, Any], offers: Any = (), **more: Any) -> dict[str, Any]:
    """By offer, what mail decisions for Ann carry."""
    catalogue = shop(categories=list(categories), offers=list(offers), **more)
    result = decided(catalogue, ANN, channel_id="mail", attributes={"basket": {"total": 50}})
    return {one.offer_id: one.personalization for one in result.decisions}


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ({"key": "a", "type": "computed"}, {"formula": "is required for type computed"}),
        (computed("a", "1 +"), {"formula": "line 1, column 4: expected a value, but the formula ends here"}),
        (computed("a", "1\n + rond(2)"),
         {"formula": "line 2, column 4: there is no function rond; did you mean round?"}),
        ({**computed("a", "1"), "default": 2},
         {"default": "has no effect on a computed field; use coalesce in its formula"}),
        ({**computed("a", "1"), "required": True},
         {"required": "has no effect on a computed field; leave it out"}),
        ({"key": "a", "type": "number", "formula": "1", "outputType": "date"},
         {"formula": "has no effect here; leave it out or choose type computed",
          "outputType": "has no effect here; leave it out or choose type computed"}),
        (computed("a", "1", "money"), {"outputType": "must be one of: number, string, boolean, date"}),
        ({"key": "a", "type": "computed", "formula": 3}, {"formula": "must be str | null, got int"}),
    ],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_refused_with_its_path(
    field: dict[str, Any], wanted: dict[str, str]
) -> None:
    found = load_entity("categories", {"id": "c", "name": "c", "customFields": [plain("b", "number"), field]})
    assert found == [Problem(f"customFields[1].{name}", message) for name, message in wanted.items()]


@pytest.mark.parametrize(
    ("categories", "wanted"),
    [
        ([loans(plain("rate", "number"), computed("a", "2 * rat"))],
         {"categories[loans].customFields[1].formula":
          "line 1, column 5: there is no custom field rat; did you mean rate?"}),
        ([loans(computed("a", "area")), home(plain("area", "number"))],
         {"categories[loans].customFields[0].formula": "line 1, column 1: there is no custom field area"}),
        ([loans(plain("rate", "number")), home(plain("area", "number"), computed("a", "rate * area"))], {}),
        ([loans(computed("a", "a"))],
         {"categories[loans].customFields[0].formula":
          "computed fields read each other in a circle: a reads a"}),
        ([loans(plain("n", "number"), computed("c", "b"), computed("b", "c + n"))],
         {"categories[loans].customFields[2].formula":
          "computed fields read each other in a circle: b reads c, c reads b"}),
        ([loans(plain("base", "number"), computed("p", "base")), home(computed("base", "p"))],
         {"categories[home].customFields[0].formula":
          "computed fields read each other in a circle: base reads p, p reads base"}),
        ([loans(computed("a", "metrics.visits + metrics.gone"))],
         {"categories[loans].customFields[0].formula": "there is no gone among the behavioral-metrics"}),
        ([loans(computed("a", "name"))],
         {"categories[loans].customFields[0].formula": "line 1, column 1: there is no custom field name"}),
    ],
)  # fmt: skip
def test_formulas_read_the_fields_of_their_categories_and_make_no_circle(
    categories: list[dict[str, Any]], wanted: dict[str, str]
) -> None:
    documents = {**SHOP, "categories": [SHOP["categories"][2], *categories]}
    if len(categories) == 1:
        documents["categories"] = [*documents["categories"], home()]
    documents["behavioral-metrics"] = [METRIC]
    assert {one.path: one.message for one in check_tenant("t", loaded(documents))} == wanted


METRIC = {"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}


def test_an_offer_cannot_set_what_is_computed() -> None:
    documents: dict[str, Any] = {
        "categories": [{"id": "x", "name": "x", "customFields": [computed("a", "1")]}],
        "offers": [{"id": "o", "name": "o", "categoryId": "x", "fields": {"a": 2}}],
    }
    assert problems(**documents) == {"offers[o].fields.a": "is computed by its formula; leave it out"}


def test_values_come_from_the_offer_its_defaults_the_customer_and_each_other() -> None:
    fields = [
        computed("total", "monthly * 12"),
        computed("monthly", "rate + metrics.visits"),
        plain("rate", "number", 10),
        computed("text", "concat(customer.firstName, ': ', total, ' of ', attributes.basket.total)"),
        computed("days", "days_between(now, '2028-03-01')"),
    ]
    found = personalization(
        loans(*fields), offers=[car(rate=2.5), house(rate=None)], behavioral_metrics=[METRIC]
    )
    assert found == {
        "card": {},
        "house": {"monthly": 14.0, "total": 168.0, "text": "Ann: 168 of 50", "days": 410},
        "car": {"monthly": 6.5, "total": 78.0, "text": "Ann: 78 of 50", "days": 410},
    }


def test_a_subcategory_adds_fields_and_its_own_definition_counts() -> None:
    found = personalization(
        loans(plain("rate", "number", 1), computed("twice", "rate * 2"), computed("same", "'loan'")),
        home(plain("rate", "number", 5), computed("same", "'home'"), computed("more", "twice + 1")),
    )
    assert found["house"] == {"twice": 10, "same": "home", "more": 11}
    assert found["car"] == {"twice": 2, "same": "loan"}


@pytest.mark.parametrize(
    ("output_type", "formula", "value"),
    [
        ("number", "1.5", 1.5),
        ("number", "'1'", None),
        ("number", "true", None),
        ("string", "'a'", "a"),
        ("string", "1", None),
        ("boolean", "1 < 2", True),
        ("boolean", "1", None),
        ("date", "'2026-03-01'", "2026-03-01"),
        ("date", "'2026-03-01T10:00Z'", "2026-03-01T10:00Z"),
        ("date", "'2026-02-30'", None),
        ("date", "now", None),
        (None, "now", NOW_MS),
        (None, "1 / 0", None),
    ],
)
def test_what_is_not_of_the_output_type_is_null(output_type: str | None, formula: str, value: Any) -> None:
    found = personalization(loans(computed("a", formula, output_type), computed("b", "a == null")))
    assert found["car"] == {"a": value, "b": value is None}


def test_templates_read_computed_values_first() -> None:
    content = {
        "text": "{{ firstName }} pays {{ rate }} {{ personalization.rate }} {{ none | - }} {{ offer.base }}"
    }
    fields = [
        plain("base", "number", 3),
        plain("unset", "number"),
        computed("rate", "base + 0.5"),
        computed("none", "unset"),
        computed("firstName", "'Dr ' + customer.firstName"),
    ]
    catalogue = shop(
        categories=[loans(*fields)],
        creatives=[
            {"id": "car-mail", "name": "m", "offerId": "car", "channelId": "mail", "content": content}
        ],
    )
    (car_mail,) = [one for one in decided(catalogue, ANN).decisions if one.creative_id == "car-mail"]
    assert car_mail.content == {"text": "Dr Ann pays 3.5 3.5 - 3"}


def test_a_trace_shows_the_values_of_every_candidate_also_of_those_removed() -> None:
    rule = {
        "id": "r",
        "name": "r",
        "kind": "attribute_condition",
        "scopes": [{"scope": "offer", "id": "car"}],
        "config": {"field": "score", "operator": "gt", "value": 800},
    }
    catalogue = shop(categories=[loans(computed("a", "customer.score"))], qualification_rules=[rule])
    result = decided(catalogue, ANN)
    body = msgspec.json.decode(msgspec.json.encode(result.trace))
    assert body["stages"][1] == {
        "name": "compute",
        "duration": 1.0,
        "computed": {"house": {"a": 720}, "car": {"a": 720}},
    }
    assert "car" not in {one.offer_id for one in result.decisions}


def test_an_offer_is_computed_once_a_request_and_only_when_something_asks() -> None:
    asked: list[str] = []

    class Counting(dict[str, object]):
        def get(self, name: str, default: object = None, /) -> object:
            asked.append(name)
            return super().get(name, default)

    catalogue = shop(categories=[loans(computed("a", "customer.score"), computed("b", "a + a"))])
    flow = catalogue.resolve_flow(None, None, None)
    assert flow is not None
    spaces: dict[str, Any] = {name: {} for name in ("metrics", "attributes", "context", "time")}
    environment: Environment = {**spaces, "customer": Counting(score=2)}
    values = OfferValues(environment)
    pool = flow.pool(None, None, None).candidates
    assert asked == []
    for _ in range(2):
        for one in pool:
            values.environment(one)
            values.computed(one)
    assert asked == ["score", "score"]
    assert sorted({one.offer.id for one in pool if one.computing}) == ["car", "house"]
    assert values.all_computed(pool) == {"house": {"a": 2, "b": 4}, "car": {"a": 2, "b": 4}}


def test_several_placements_share_the_values() -> None:
    catalogue = shop(categories=[loans(computed("a", "customer.score"))])
    slots = (PlacementRequest("hero", 2), PlacementRequest("hero", 2))
    result = decided(catalogue, ANN, placements=slots, deduplicate=False)
    found = [one.personalization for one in result.decisions if one.offer_id == "house"]
    assert found == [{"a": 720}, {"a": 720}]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([computed("a", "gone"), computed("b", "2")], {"b": 2}),
        ([computed("a", "b"), computed("b", "a")], {}),
    ],
)
def test_an_older_record_that_is_wrong_is_left_out(
    fields: list[dict[str, Any]], wanted: dict[str, Any]
) -> None:
    documents = {**SHOP, "categories": [*SHOP["categories"][1:], loans(*fields)]}
    catalogue = compile_tenant("t", loaded(documents))
    found = {one.offer_id: one.personalization for one in decided(catalogue, ANN).decisions}
    assert found["car"] == wanted


def test_a_computed_field_survives_export() -> None:
    category = load_entity("categories", loans(computed("a", "1", "number")))
    assert isinstance(category, Category)
    again = load_entity("categories", msgspec.json.decode(msgspec.json.encode(category)))
    assert isinstance(again, Entity)
    assert again == category


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("2026-03-01", []),
        ("2026-03-01T10:00:00Z", []),
        ("tomorrow", ["offers[card].fields.until"]),
        ("2026-02-30", ["offers[card].fields.until"]),
        (1_800_000_000_000, ["offers[card].fields.until"]),
    ],
)
def test_a_date_of_an_offer_is_a_date(value: Any, paths: list[str]) -> None:
    cards = {"id": "cards", "name": "C", "customFields": [{"key": "until", "type": "date"}]}
    card = {"id": "card", "name": "Card", "categoryId": "cards", "fields": {"until": value}}
    assert refused(merged(categories=[cards], offers=[card])) == paths
