"""Orders that no score decides: the holdout's, and the fallback's."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView, PlacementRequest
from app.decision.hashing import bucket
from app.decision.shared import Shared
from app.decision.state import Profile
from tests.decision.building import (
    contact,
    contacted,
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

FALLBACK = Shared(fallback=True)


def held_out(percent: float, **more: Any) -> Any:
    """The shop with a holdout; `t` is its tenant."""
    return shop(tenant_settings=[{"id": "settings", "holdoutPercent": percent}], **more)


# -- holdout


def test_the_holdout_is_the_customers_whose_bucket_is_below_its_share() -> None:
    catalogue = held_out(10)
    customers = [f"C-{number}" for number in range(300)]
    inside = [
        one for one in customers if decided(catalogue, CustomerView(one), channel_id="mail").control_group
    ]
    assert inside == [one for one in customers if bucket("holdout/t", one) < 10]
    assert 10 <= len(inside) <= 60


@pytest.mark.parametrize(("percent", "control"), [(0, False), (100, True)])
def test_nobody_and_everybody(percent: float, control: bool) -> None:
    assert decided(held_out(percent), channel_id="mail").control_group is control


def test_the_control_group_is_decided_by_priority_alone() -> None:
    more: dict[str, Any] = {
        "offers": [
            {"id": "card", "name": "Card", "categoryId": "cards", "priority": 90, "weight": 10},
            {"id": "house", "name": "House", "categoryId": "loans", "priority": 80, "weight": 50},
            {"id": "car", "name": "Car", "categoryId": "loans", "priority": 80, "weight": 100},
        ],
        "qualification_rules": [
            rule("attribute_condition", leaf("age", "exists"), ("offer", "car"), effect="fit", multiplier=0.1)
        ],
        "decision_flows": flow(scoring={"floor": 0.3}),
    }
    assert creatives(decided(shop(**more), channel_id="mail")) == ["house-mail"]
    result = decided(held_out(100, **more), channel_id="mail")
    # 80 and 80: then by id, whatever the weights, the fit and the floor.
    assert creatives(result) == ["card-mail", "car-mail", "house-mail"]
    assert [one.score for one in result.decisions] == [0.9, 0.8, 0.8]
    assert result.decisions[0].score_explanation == {
        "method": "priority",
        "priority": 90,
        "finalScore": 0.9,
    }


def test_the_control_group_is_under_every_rule_policy_filter_and_option() -> None:
    catalogue = held_out(
        100,
        offers=[
            {"id": "gift", "name": "Gift", "categoryId": "cards", "priority": 99},
            {"id": "law", "name": "Law", "categoryId": "loans", "priority": 1, "mandatory": True},
        ],
        creatives=[
            {"id": "gift-mail", "name": "g", "offerId": "gift", "channelId": "mail"},
            {"id": "law-mail", "name": "l", "offerId": "law", "channelId": "mail"},
        ],
        qualification_rules=[rule("attribute_condition", leaf("age", "gt", 90), ("offer", "card"))],
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("offer", "house"))],
        decision_flows=flow(filters=[leaf("offer.id", "neq", "gift")], ranking={"maxPerCategory": 1}),
    )
    result = decided(catalogue, contacted(contact(5, "house-mail")), channel_id="mail")
    assert creatives(result) == ["law-mail"]
    assert result.removals == {
        "attribute_condition:attribute_condition": 1,
        "frequency_cap:frequency_cap": 1,
        "filter:filters[0]": 1,
        "max_per_category": 1,
    }


# -- fallback


def falls_back(*offers: str, **fields: Any) -> list[dict[str, Any]]:
    return flow(fallbackOfferIds=list(offers), **fields)


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        (["car", "card"], ["car-mail", "card-mail"]),
        (["card", "house", "car"], ["card-mail", "house-mail", "car-mail"]),
        (["auto"], ["car-mail"]),
    ],
)
def test_a_flow_that_fell_back_takes_the_offers_it_lists_in_that_order(
    listed: list[str], wanted: list[str]
) -> None:
    catalogue = shop(
        offers=[{"id": "car", "key": "auto", "name": "Car", "categoryId": "loans", "priority": 70}],
        decision_flows=falls_back(*listed),
    )
    usual = decided(catalogue, channel_id="mail")
    assert (usual.degraded, len(usual.decisions)) == (None, 3)
    result = decided(catalogue, channel_id="mail", shared=FALLBACK)
    assert creatives(result) == wanted
    assert result.degraded == "latency_fallback"
    assert {one.score for one in result.decisions} == {0.0}
    assert result.decisions[0].score_explanation == {"method": "fallback", "finalScore": 0.0}
    assert [one.rank for one in result.decisions] == list(range(1, len(wanted) + 1))


def test_a_flow_without_active_fallback_offers_does_not_fall_back() -> None:
    off = {"id": "off", "name": "Off", "categoryId": "cards", "status": "paused"}
    for catalogue in (shop(), shop(offers=[off], decision_flows=falls_back("off"))):
        result = decided(catalogue, channel_id="mail", shared=FALLBACK)
        assert (result.degraded, creatives(result)) == (None, ["card-mail", "house-mail", "car-mail"])


def test_a_fallback_passes_rules_filters_inventory_and_floor() -> None:
    catalogue = shop(
        qualification_rules=[
            rule("attribute_condition", leaf("age", "gt", 90)),
            rule("propensity_threshold", {"min": 1}),
        ],
        decision_flows=falls_back(
            "house",
            filters=[leaf("offer.id", "eq", "card")],
            scoring={"floor": 0.9},
            inventory={"scope": "categories", "ids": ["cards"]},
        ),
    )
    result = decided(catalogue, channel_id="mail", shared=FALLBACK)
    assert creatives(result) == ["house-mail"]
    assert (result.total_candidates, result.after_qualification, result.after_contact_policy) == (1, 1, 1)


def test_a_fallback_is_under_consent_policies_schedules_exclusions_and_options() -> None:
    catalogue = shop(
        offers=[
            {"id": "late", "name": "Late", "categoryId": "cards", "endAt": "2020-01-01T00:00:00Z"},
            {"id": "off", "name": "Off", "categoryId": "cards", "status": "paused"},
            {"id": "must", "name": "Must", "categoryId": "loans", "mandatory": True},
        ],
        creatives=[
            {"id": f"{name}-mail", "name": name, "offerId": name, "channelId": "mail"}
            for name in ("late", "off", "must")
        ],
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("offer", "house"))],
        decision_flows=falls_back(
            "late", "off", "house", "card", "must", "car", ranking={"maxPerCategory": 1}
        ),
    )
    customer = CustomerView("ann", Profile(consent={"web": "revoked"}), contacts=[contact(5, "house-mail")])
    result = decided(catalogue, customer, shared=FALLBACK, exclude_offers=frozenset({"card"}))
    assert creatives(result) == ["must-mail"]
    assert result.removals == {
        "excluded_offer": 2,
        "consent:site": 1,
        "frequency_cap:frequency_cap": 1,
        "max_per_category": 1,
    }


def test_a_cap_holds_within_a_fallback_too() -> None:
    catalogue = shop(
        contact_policies=[policy("frequency_cap", {"perDay": 2})],
        decision_flows=falls_back("car", "house", "card"),
    )
    result = decided(catalogue, channel_id="mail", shared=FALLBACK)
    assert creatives(result) == ["car-mail", "house-mail"]


def test_a_fallback_fills_placements_and_shows_the_heaviest_creative() -> None:
    light = {"id": "house-a", "name": "s", "offerId": "house", "channelId": "site", "weight": 5}
    catalogue = shop(
        creatives=[light],
        placements=[{"id": "foot", "name": "Foot", "channelId": "site"}],
        decision_flows=falls_back("house", "card"),
    )
    places = (PlacementRequest("foot", 3), PlacementRequest("hero", 3))
    result = decided(catalogue, placements=places, shared=FALLBACK)
    got = [(one.rank, one.placement_id, one.creative_id) for one in result.decisions]
    assert got == [(1, "foot", "house-site"), (2, "hero", "card-site")]


def test_a_held_out_customer_stays_one_in_a_fallback() -> None:
    result = decided(
        held_out(100, decision_flows=falls_back("car", "card")), channel_id="mail", shared=FALLBACK
    )
    assert creatives(result) == ["car-mail", "card-mail"]
    assert (result.control_group, result.degraded) == (True, "latency_fallback")


@pytest.mark.parametrize(
    ("listed", "paths"),
    [
        (["gone"], ["decision-flows[flow].fallbackOfferIds[0]"]),
        (["car", "card", "car"], ["fallbackOfferIds[2]"]),
        (["car", 3], ["fallbackOfferIds[1]"]),
    ],
)
def test_wrong_fallback_offers_are_refused_with_their_path(listed: list[Any], paths: list[str]) -> None:
    assert refused(merged(decision_flows=falls_back(*listed))) == paths
