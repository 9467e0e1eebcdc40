"""Ranking: order, ties, mandatory offers, shares, floors, placements."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView, PlacementRequest
from app.decision.state import Profile
from tests.decision.building import NOW_MS, creatives, decided, flow, policy, shop, verdict


def offer(offer_id: str, **fields: Any) -> dict[str, Any]:
    category = "cards" if offer_id == "card" else "loans"
    return {"id": offer_id, "name": offer_id, "categoryId": category, **fields}


def test_score_then_priority_then_offer_then_creative_weight_then_creative() -> None:
    catalogue = shop(
        offers=[
            offer("card", priority=50, weight=80),
            offer("house", priority=80, weight=50),
            offer("car", priority=50, weight=80),
        ],
        creatives=[
            {"id": "car-a", "name": "x", "offerId": "car", "channelId": "mail", "weight": 10},
            {"id": "car-z", "name": "x", "offerId": "car", "channelId": "mail", "weight": 90},
            {"id": "car-mail", "name": "x", "offerId": "car", "channelId": "mail", "weight": 10},
        ],
        decision_flows=flow(ranking={"oneCreativePerOffer": False}),
    )
    result = decided(catalogue, channel_id="mail")
    assert creatives(result) == ["house-mail", "car-z", "car-a", "car-mail", "card-mail"]
    assert {decision.score for decision in result.decisions} == {0.4}
    assert [decision.rank for decision in result.decisions] == [1, 2, 3, 4, 5]


def test_one_creative_per_offer_shows_the_heaviest() -> None:
    heavy = {"id": "card-zzz", "name": "x", "offerId": "card", "channelId": "mail"}
    light = {"id": "card-mail", "name": "m", "offerId": "card", "channelId": "mail", "weight": 99}
    result = decided(shop(creatives=[heavy, light]), channel_id="mail")
    assert creatives(result) == ["card-zzz", "house-mail", "car-mail"]
    assert result.removals == {"one_creative_per_offer": 1}


def test_mandatory_offers_come_first_unless_the_flow_says_otherwise() -> None:
    mandatory = offer("car", priority=1, mandatory=True)
    catalogue = shop(offers=[mandatory])
    assert creatives(decided(catalogue, channel_id="mail"))[0] == "car-mail"
    catalogue = shop(offers=[mandatory], decision_flows=flow(ranking={"mandatoryFirst": False}))
    assert creatives(decided(catalogue, channel_id="mail"))[-1] == "car-mail"


def test_a_category_has_its_share_and_the_next_category_moves_up() -> None:
    catalogue = shop(offers=[offer("card", priority=10)], decision_flows=flow(ranking={"maxPerCategory": 1}))
    result = decided(catalogue, channel_id="mail", limit=2)
    assert creatives(result) == ["house-mail", "card-mail"]
    assert result.removals == {"max_per_category": 1}


def test_the_floor_drops_what_scores_less_but_not_what_is_mandatory() -> None:
    catalogue = shop(decision_flows=flow(scoring={"floor": 0.8}))
    assert creatives(decided(catalogue, channel_id="mail")) == ["card-mail", "house-mail"]
    catalogue = shop(
        decision_flows=flow(scoring={"floor": 0.8}), offers=[offer("car", priority=1, mandatory=True)]
    )
    assert creatives(decided(catalogue, channel_id="mail")) == ["car-mail", "card-mail", "house-mail"]


def test_fit_lowers_the_score_and_reorders() -> None:
    rule = {
        "id": "fit",
        "name": "fit",
        "kind": "attribute_condition",
        "effect": "fit",
        "multiplier": 0.5,
        "scopes": [{"scope": "offer", "id": "card"}],
        "config": {"field": "customer.tier", "operator": "eq", "value": "gold"},
    }
    catalogue = shop(qualification_rules=[rule])
    gold = CustomerView("ann", Profile({"tier": "gold"}))
    assert creatives(decided(catalogue, gold, channel_id="mail"))[0] == "card-mail"
    result = decided(catalogue, channel_id="mail")
    assert creatives(result) == ["house-mail", "car-mail", "card-mail"]
    assert result.decisions[2].score_explanation == {
        "method": "priority_weighted",
        "priority": 90,
        "weight": 100,
        "fit": 0.5,
        "finalScore": 0.45,
    }


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_than_the_limit(limit: int) -> None:
    result = decided(shop(), channel_id="mail", limit=limit)
    assert len(result.decisions) == limit
    assert (result.total_candidates, result.removals) == (3, {})


def test_the_failed_rule_of_highest_priority_is_the_reason() -> None:
    rules = [
        {
            "id": rule_id,
            "name": rule_id,
            "kind": "attribute_condition",
            "priority": priority,
            "config": {"field": "age", "operator": "exists"},
        }
        for rule_id, priority in (("a-low", 10), ("b-high", 90), ("c-high", 90))
    ]
    result = decided(shop(qualification_rules=rules), channel_id="mail")
    assert result.removals == {"attribute_condition:b-high": 3}


def places(*several: tuple[str, int]) -> tuple[PlacementRequest, ...]:
    return tuple(PlacementRequest(*one) for one in several)


def site(**placement: Any) -> Any:
    """The shop with a second placement on the site, and a mail creative of every offer left alone."""
    return shop(placements=[{"id": "foot", "name": "Foot", "channelId": "site", "maxSlots": 5, **placement}])


def test_placements_are_filled_in_their_order_without_repeats() -> None:
    result = decided(site(), placements=places(("foot", 1), ("hero", 2)))
    got = [(one.rank, one.placement_id, one.creative_id) for one in result.decisions]
    assert got == [(1, "foot", "house-site"), (2, "hero", "card-site")]
    assert result.removals == {"deduplicate": 1}


def test_placements_may_repeat_an_offer_when_asked_to() -> None:
    result = decided(site(), placements=places(("foot", 1), ("hero", 2)), deduplicate=False)
    got = [(one.rank, one.placement_id, one.creative_id) for one in result.decisions]
    assert got == [(1, "foot", "house-site"), (2, "hero", "card-site"), (3, "hero", "house-site")]


def test_policies_hold_across_placements() -> None:
    catalogue = shop(
        placements=[{"id": "foot", "name": "Foot", "channelId": "site"}],
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("offer", "house"))],
    )
    result = decided(catalogue, placements=places(("foot", 1), ("hero", 2)), deduplicate=False)
    assert creatives(result) == ["house-site", "card-site"]


def test_a_placement_takes_its_own_creatives_and_those_without_one() -> None:
    assert creatives(decided(site(), placements=places(("foot", 5)))) == ["house-site"]
    assert creatives(decided(site(), placements=places(("hero", 5)))) == ["card-site", "house-site"]
    assert creatives(decided(site(), placements=places(("hero", 5)), channel_id="mail")) == []
    assert creatives(decided(site(), placements=places(("gone", 5)))) == []


@pytest.mark.parametrize(
    ("said", "asked", "taken"),
    [
        ({}, [5], 1),
        ({"maxSlots": 1}, [5], 1),
        ({"maxSlots": 2}, [1], 1),
        ({"maxSlots": 2}, [5], 2),
        ({"maxSlots": None}, [5], 2),
        ({"maxSlots": 1}, [1, 1], 1),
        ({"maxSlots": 2}, [1, 1], 2),
        ({"maxSlots": 2}, [1, 1, 1], 2),
    ],
)
def test_a_placement_holds_no_more_than_its_slots_however_often_it_is_named(
    said: dict[str, Any], asked: list[int], taken: int
) -> None:
    catalogue = shop(placements=[{"id": "hero", "name": "Hero", "channelId": "site", **said}])
    wanted = places(*(("hero", limit) for limit in asked))
    assert creatives(decided(catalogue, placements=wanted)) == ["card-site", "house-site"][:taken]


@pytest.mark.parametrize(
    ("said", "taken", "gone"),
    [
        ({"maxSlots": 1}, ["card-site", "house-site"], {"max_slots": 1}),
        ({}, ["card-site", "house-site"], {"max_slots": 1}),
        ({"maxSlots": 2}, ["card-site", "house-site", "car-site"], {}),
        ({"maxSlots": None}, ["card-site", "house-site", "car-site"], {}),
    ],
)
def test_a_placement_nobody_names_holds_no_more_than_its_slots(
    said: dict[str, Any], taken: list[str], gone: dict[str, int]
) -> None:
    catalogue = shop(
        placements=[{"id": "hero", "name": "Hero", "channelId": "site", **said}],
        creatives=[
            {"id": "car-site", "name": "s", "offerId": "car", "channelId": "site", "placementId": "hero"}
        ],
    )
    result = decided(catalogue, channel_id="site")
    assert (creatives(result), result.removals) == (taken, gone)
    if gone:
        full = verdict(result, "car-site")
        assert (full.stage, full.reason) == ("rank", "max_slots")
        assert full.numbers == {"placementId": "hero", "max": 1}


def test_ranking_options_run_through_all_placements() -> None:
    catalogue = shop(
        offers=[offer("house", priority=95), offer("card", priority=90)],
        creatives=[{"id": "car-site", "name": "s", "offerId": "car", "channelId": "site"}],
        placements=[
            {"id": "foot", "name": "Foot", "channelId": "site", "maxSlots": 5},
            {"id": "side", "name": "Side", "channelId": "site"},
        ],
        decision_flows=flow(ranking={"maxPerCategory": 1}),
    )
    result = decided(catalogue, placements=places(("side", 3), ("foot", 3), ("hero", 3)))
    got = [(one.rank, one.placement_id, one.creative_id) for one in result.decisions]
    assert got == [(1, "side", "house-site"), (2, "hero", "card-site")]
    assert result.removals == {"max_per_category": 2, "deduplicate": 2}


def test_channels_by_id_key_or_type() -> None:
    assert creatives(decided(shop(), channel_type="web")) == ["card-site", "house-site"]
    assert len(creatives(decided(shop(decision_flows=flow(ranking={"oneCreativePerOffer": False}))))) == 5
    assert creatives(decided(shop(), channel_id="gone")) == []
    assert creatives(decided(shop(), channel_type="fax")) == []


def test_no_candidate_left_is_an_answer_with_its_funnel() -> None:
    rule = {
        "id": "never",
        "name": "never",
        "kind": "attribute_condition",
        "config": {"field": "age", "operator": "gt", "value": 1},
    }
    result = decided(shop(qualification_rules=[rule]), channel_id="mail")
    assert result.decisions == ()
    assert (result.total_candidates, result.after_qualification, result.after_contact_policy) == (3, 0, 0)
    assert result.removals == {"attribute_condition:never": 3}


@pytest.mark.parametrize(
    ("start_by", "end_by", "shown"),
    [(0, 1, True), (1, 9, False), (-9, 0, False), (-9, None, True), (None, -1, False), (None, 1, True)],
)
def test_offers_are_considered_from_their_start_until_just_before_their_end(
    start_by: int | None, end_by: int | None, shown: bool
) -> None:
    dates = {
        name: f"2027-01-15T08:00:0{by}Z" if by >= 0 else f"2027-01-15T07:59:5{10 + by}Z"
        for name, by in (("startAt", start_by), ("endAt", end_by))
        if by is not None
    }
    result = decided(shop(offers=[offer("card", priority=90, **dates)]), channel_id="mail")
    assert NOW_MS == 1_800_000_000_000  # 2027-01-15T08:00:00Z
    assert ("card-mail" in creatives(result)) is shown
    assert result.total_candidates == (3 if shown else 2)


@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
@pytest.mark.parametrize(
    ("kind", "body", "wanted"),
    [
        ("offers", offer("card"), ["house-mail", "car-mail"]),
        ("creatives", {"id": "card-mail", "name": "m", "offerId": "card", "channelId": "mail"},
         ["house-mail", "car-mail"]),
        ("channels", {"id": "mail", "name": "Mail", "type": "email"}, []),
        ("categories", {"id": "home", "name": "H", "parentId": "loans"}, ["card-mail", "car-mail"]),
    ],
)  # fmt: skip
def test_only_what_is_active_is_a_candidate(
    status: str, kind: str, body: dict[str, Any], wanted: list[str]
) -> None:
    catalogue = shop(**{kind: [{**body, "status": status}]})
    assert creatives(decided(catalogue, channel_id="mail")) == wanted


@pytest.mark.parametrize(
    ("inventory", "wanted"),
    [
        ({"scope": "offers", "ids": ["car", "card"]}, ["card-mail", "car-mail"]),
        ({"scope": "categories", "ids": ["loans"]}, ["house-mail", "car-mail"]),
        ({"scope": "categories", "ids": ["home"]}, ["house-mail"]),
    ],
)
def test_a_flow_considers_its_inventory(inventory: dict[str, Any], wanted: list[str]) -> None:
    assert creatives(decided(shop(decision_flows=flow(inventory=inventory)), channel_id="mail")) == wanted


def test_what_the_request_excludes_is_removed_with_a_reason() -> None:
    catalogue = shop(offers=[offer("car", key="auto")])
    result = decided(
        catalogue,
        channel_id="mail",
        exclude_offers=frozenset({"auto"}),
        exclude_creatives=frozenset({"card-mail"}),
    )
    assert creatives(result) == ["house-mail"]
    assert result.removals == {"excluded_offer": 1, "excluded_creative": 1}
    assert (result.total_candidates, result.after_qualification) == (3, 1)


def test_a_decision_says_everything_that_an_answer_needs() -> None:
    catalogue = shop(
        creatives=[
            {
                "id": "card-mail",
                "name": "Hello",
                "offerId": "card",
                "channelId": "mail",
                "content": {"subject": "{{ first | you }}: {{ offer.name }}"},
            }
        ]
    )
    customer = CustomerView("ann", Profile({"first": "Ann"}))
    first = decided(catalogue, customer, channel_id="mail").decisions[0]
    assert (first.offer_id, first.offer_name, first.category_id) == ("card", "Card", "cards")
    assert (first.category_name, first.channel_id, first.channel_name) == ("Cards", "mail", "Mail")
    assert (first.creative_id, first.creative_name, first.placement_id) == ("card-mail", "Hello", None)
    assert (first.rank, first.score, first.content) == (1, 0.9, {"subject": "Ann: Card"})
    assert (first.personalization, first.selection_probability, first.implicit_contact) == ({}, 1.0, True)
    assert decided(catalogue, customer, channel_id="site").decisions[0].implicit_contact is False
