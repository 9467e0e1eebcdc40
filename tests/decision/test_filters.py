"""Filters of a flow: what they read, whom they remove, in which order, and how often they are looked at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from app.decision.catalogue import Problem, load_entity
from app.decision.decide import CustomerView
from app.decision.filters import CREATIVE_FIELDS, OFFER_FIELDS, FilterBoard, compile_filter
from app.decision.state import Profile, Window
from tests.decision.building import (
    contact,
    creatives,
    decided,
    flow,
    leaf,
    merged,
    policy,
    refused,
    rule,
    shop,
)
from tests.decision.documents import ANY_JSON

VISITS = {"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}
CATEGORIES = [
    {
        "id": "loans",
        "name": "Loans",
        "customFields": [
            {"key": "minAge", "type": "number", "default": 18},
            {"key": "fast", "type": "boolean"},
        ],
    }
]
OFFERS = [
    {"id": "card", "key": "plastic", "name": "Card", "categoryId": "cards", "priority": 90, "tags": ["new"]},
    {
        "id": "car",
        "name": "Car",
        "categoryId": "loans",
        "priority": 70,
        "fields": {"minAge": 21, "fast": True},
        "mandatory": True,
    },
]
ANN = CustomerView("ann", Profile({"age": 20}, ("gold",)), {"visits": Window(0, {0: 4.0})})


def left(*filters: Any, customer: CustomerView = ANN, **request: Any) -> set[str]:
    """The creatives that pass some filters."""
    catalogue = shop(
        behavioral_metrics=[VISITS],
        categories=CATEGORIES,
        offers=OFFERS,
        decision_flows=flow(filters=list(filters), ranking={"oneCreativePerOffer": False}),
    )
    return set(creatives(decided(catalogue, customer, **request)))


ALL = {"card-mail", "house-mail", "car-mail", "card-site", "house-site"}
CARD, HOUSE, CAR = {"card-mail", "card-site"}, {"house-mail", "house-site"}, {"car-mail"}


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        (leaf("offer.id", "eq", "card"), CARD),
        (leaf("offer.key", "eq", "plastic"), CARD),
        (leaf("offer.name", "starts_with", "H"), HOUSE),
        (leaf("offer.tags", "contains", "new"), CARD),
        (leaf("offer.priority", "gte", 80), CARD | HOUSE),
        (leaf("offer.weight", "lt", 100), set()),
        (leaf("offer.businessValue", "eq", 50), ALL),
        (leaf("offer.categoryId", "eq", "loans"), HOUSE | CAR),
        (leaf("offer.subCategoryId", "eq", "home"), HOUSE),
        (leaf("offer.mandatory", "eq", True), CAR),
        (leaf("offer.minAge", "lte", 18), HOUSE),
        (leaf("offer.minAge", "gt", 18), CAR),
        (leaf("offer.fast", "eq", True), CAR),
        (leaf("offer.fast", "not_exists"), CARD | HOUSE),
        (leaf("creative.id", "eq", "card-site"), {"card-site"}),
        (leaf("creative.channelId", "eq", "mail"), {"card-mail", "house-mail", "car-mail"}),
        (leaf("creative.placementId", "exists"), {"card-site"}),
        (leaf("customer.age", "gte", 20), ALL),
        (leaf("customer.age", "gt", 20), set()),
        (leaf("customer.tags", "contains", "gold"), ALL),
        (leaf("metrics.visits", "lt", 4), set()),
        (leaf("attributes.device", "eq", "tv"), ALL),
        (leaf("context.page", "eq", "home"), set()),
        ({"any": [leaf("customer.age", "gt", 20), leaf("offer.id", "eq", "car")]}, CAR),
        ({"all": [leaf("customer.age", "lt", 21), {"not": leaf("offer.minAge", "gt", 18)}]}, CARD | HOUSE),
        ({"any": [leaf("customer.age", "gt", 20), leaf("creative.id", "eq", "house-site")]}, {"house-site"}),
    ],
)
def test_every_candidate_must_meet_a_filter(tree: dict[str, Any], wanted: set[str]) -> None:
    assert left(tree, attributes={"device": "tv"}) == wanted


def test_all_filters_must_be_met_and_the_first_that_is_not_is_the_reason() -> None:
    catalogue = shop(
        categories=CATEGORIES,
        offers=OFFERS,
        decision_flows=flow(
            filters=[
                {"any": [leaf("customer.age", "gt", 20), leaf("offer.id", "neq", "car")]},
                leaf("offer.id", "neq", "car"),
                leaf("customer.age", "gt", 20),
            ]
        ),
    )
    result = decided(catalogue, ANN, channel_id="mail")
    assert creatives(result) == []
    assert result.removals == {"filter:filters[0]": 1, "filter:filters[2]": 2}
    assert result.trace is not None
    stage = result.trace.stages[2]
    verdicts = {one.creative_id: one for one in stage.candidates}  # type: ignore[union-attr]
    car, card = verdicts["car-mail"], verdicts["card-mail"]
    assert (car.stage, car.reason, car.rule_id) == ("filter", "filter", "filters[0]")
    assert car.numbers == {"customer.age": 20, "offer.id": "car"}
    assert (card.rule_id, card.numbers) == ("filters[2]", {"customer.age": 20})
    assert "car (filter:filters[0] customer.age=20 offer.id=car)" in stage.filtered  # type: ignore[union-attr]


def test_filters_come_after_rules_consent_and_policies_and_leave_the_funnel_alone() -> None:
    catalogue = shop(
        offers=[{"id": "gift", "name": "Gift", "categoryId": "cards"}],
        creatives=[{"id": "gift-mail", "name": "g", "offerId": "gift", "channelId": "mail"}],
        qualification_rules=[rule("attribute_condition", leaf("age", "gt", 90), ("offer", "card"))],
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("offer", "car"))],
        decision_flows=flow(filters=[leaf("offer.id", "eq", "gift")]),
    )
    customer = CustomerView(
        "ann", Profile({"age": 20}, (), {"web": "revoked"}), contacts=[contact(5, "car-mail")]
    )
    result = decided(catalogue, customer)
    assert creatives(result) == ["gift-mail"]
    assert (result.total_candidates, result.after_qualification, result.after_contact_policy) == (6, 4, 2)
    assert result.removals == {
        "attribute_condition:attribute_condition": 2,
        "consent:site": 1,
        "frequency_cap:frequency_cap": 1,
        "filter:filters[0]": 1,
    }


def test_a_filter_is_looked_at_no_more_often_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    compiled = compile_filter

    def counting(place: int, tree: object) -> Any:
        one = compiled(place, tree)
        assert not isinstance(one, list)

        def holds(environment: Any) -> bool:
            looked.append(f"{place}")
            return one.holds(environment)

        return type(one)(one.reason, holds, one.readers)

    monkeypatch.setattr("app.decision.filters.compile_filter", counting)
    catalogue = shop(
        decision_flows=flow(
            filters=[
                leaf("customer.age", "gt", 1),
                leaf("offer.priority", "gte", 0),
                {"all": [leaf("customer.age", "gt", 1), leaf("offer.priority", "gte", 0)]},
                {"all": [leaf("customer.age", "gt", 1), leaf("creative.weight", "gte", 0)]},
            ],
            ranking={"oneCreativePerOffer": False},
        )
    )
    assert len(creatives(decided(catalogue, ANN))) == 5
    # Two decisions, traced and untraced: the customer's once each, the offer's 3 times, the creative's 5;
    # what reads only the candidate was looked at when the 5 candidates were built.
    assert {place: looked.count(place) for place in "0123"} == {"0": 2, "1": 5, "2": 6, "3": 10}
    looked.clear()
    decided(catalogue, ANN)
    assert looked.count("1") == 0


def test_no_filters_cost_nothing() -> None:
    assert FilterBoard(()).filters == []


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        ({}, ["filters[1].field", "filters[1].operator"]),
        (leaf("age", "gt", 1), ["filters[1].field"]),
        (leaf("personalization.age", "gt", 1), ["filters[1].field"]),
        (
            {"any": [leaf("customer.age", "gt", 1), leaf("customer.x", "is", 1)]},
            ["filters[1].any[1].operator"],
        ),
        (leaf("metrics.gone", "gt", 1), ["decision-flows[flow].filters[1].field"]),
        ({"not": leaf("offer.prioritty", "gt", 1)}, ["decision-flows[flow].filters[1].not.field"]),
        (leaf("creative.content", "exists"), ["decision-flows[flow].filters[1].field"]),
    ],
)
def test_a_flow_whose_filters_do_not_compile_is_refused_with_the_path_unless_it_is_a_draft(
    tree: dict[str, Any], paths: list[str]
) -> None:
    filters = [leaf("customer.age", "gt", 1), tree]
    assert refused(merged(decision_flows=flow(filters=filters))) == paths
    assert refused(merged(decision_flows=flow(filters=filters, status="paused"))) == paths
    assert refused(merged(decision_flows=flow(filters=filters, status="draft"))) == []


def test_every_field_of_offers_and_creatives_can_be_read() -> None:
    filters = [leaf(f"offer.{name}", "exists") for name in OFFER_FIELDS]
    filters += [leaf(f"creative.{name}", "exists") for name in CREATIVE_FIELDS]
    assert refused(merged(decision_flows=flow(filters=filters))) == []


@settings(max_examples=300)
@given(tree=ANY_JSON)
def test_any_filter_is_accepted_or_refused_with_a_path(tree: Any) -> None:
    loaded = load_entity("decision-flows", flow(filters=[tree])[0])
    if isinstance(loaded, list):
        assert loaded
        assert all(isinstance(one, Problem) and one.path.startswith("filters") for one in loaded)
