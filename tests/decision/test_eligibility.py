"""Why not: everything that stands against an offer, and the same verdict as a decision's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView, DecisionRequest, PlacementRequest, decide
from app.decision.eligibility import eligibility
from app.decision.entities import Offer
from app.decision.findings import Finding, OfferEligibility
from app.decision.shared import NOTHING_SHARED, Shared
from app.decision.state import Profile
from app.decision.trace import CandidateTrace, FilterStage
from tests.decision.building import (
    NOW_MS,
    contact,
    contacted,
    flow,
    leaf,
    merged,
    policy,
    rule,
    segment,
    shop,
    tenant,
)
from tests.decision.policies.worlds import OFFERS, World, documents, worlds


def judged(
    catalogue: TenantCatalogue,
    customer: CustomerView | None = None,
    now_ms: int = NOW_MS,
    shared: Shared = NOTHING_SHARED,
    **request: Any,
) -> dict[str, OfferEligibility]:
    """Every offer's eligibility by id, under the flow that decides."""
    compiled = catalogue.resolve_flow(None, None, None)
    assert compiled is not None
    found = eligibility(
        compiled,
        catalogue,
        catalogue.all("offers", Offer),
        DecisionRequest(**request),
        customer or CustomerView("ann"),
        now_ms,
        "salt",
        lambda: 0.0,
        shared,
    )
    return {one.offer_id: one for one in found}


def reasons(offer: OfferEligibility, creative_id: str) -> list[str]:
    """What stands against a creative, in short, its offer's reasons first."""
    creative = next(one for one in offer.creatives if one.creative_id == creative_id)
    return [_short(one) for one in (*offer.reasons, *creative.reasons)]


def _short(one: Finding) -> str:
    return f"{one.stage}/{one.reason}" + (f"/{one.rule_id}" if one.rule_id else "")


ADULT = rule("attribute_condition", leaf("age", "gte", 18), ("offer", "house"), name="Adults")
KEEN = rule("expression", {"formula": "customer.keen"}, effect="fit", multiplier=0.5)
VIPS = rule("segment_required", {"segmentIds": ["vip"]}, priority=90)
NIGHT = policy("time_window", {"from": "23:00", "to": "23:01"})
ONCE = policy("frequency_cap", {"perDay": 1}, ("offer", "car"), name="Once")
FILTER = {"all": [leaf("offer.priority", "gt", 95)]}


def test_every_reason_is_named_in_the_order_of_the_stages_with_its_numbers() -> None:
    catalogue = shop(
        segments=[segment("vip", leaf("customer.vip", "eq", True))],
        qualification_rules=[ADULT, KEEN, VIPS],
        contact_policies=[NIGHT, ONCE],
        decision_flows=flow(filters=[FILTER]),
    )
    customer = CustomerView(
        "ann", Profile({"age": 17}, consent={"mail": "revoked"}), contacts=[contact(5, "car-mail")]
    )
    found = judged(catalogue, customer)
    assert reasons(found["house"], "house-mail") == [
        "qualify/segment_required/segment_required",
        "qualify/attribute_condition/attribute_condition",
        "consent/consent/mail",
        "contact_policy/time_window/time_window",
        "filter/filter/filters[0]",
        "qualify/expression/expression",
    ]
    assert reasons(found["car"], "car-mail")[2:4] == [
        "contact_policy/frequency_cap/frequency_cap",
        "contact_policy/time_window/time_window",
    ]
    adult = found["house"].creatives[0].reasons[1]
    assert adult == Finding(
        stage="qualify",
        reason="attribute_condition",
        effect="hard",
        rule_id="attribute_condition",
        rule_name="Adults",
        numbers={"field": "customer.age", "operator": "gte", "expected": 18, "actual": 17},
    )
    keen = found["house"].creatives[0].reasons[-1]
    assert (keen.effect, keen.numbers["multiplier"]) == ("fit", 0.5)
    cap = found["car"].creatives[0].reasons[2]
    assert (cap.rule_name, cap.numbers) == ("Once", {"count": 1, "max": 1, "windowMs": 86_400_000})
    assert not any(one.eligible for one in found.values())


def test_a_fit_rule_alone_leaves_an_offer_eligible() -> None:
    found = judged(shop(qualification_rules=[KEEN]))
    assert all(one.eligible and all(each.eligible for each in one.creatives) for one in found.values())
    assert reasons(found["card"], "card-mail") == ["qualify/expression/expression"]


@pytest.mark.parametrize(
    ("changes", "request_", "expected"),
    [
        ({}, {}, []),
        ({"offers": {"status": "paused"}}, {}, ["inventory/offer_status"]),
        ({"offers": {"status": "archived", "endAt": "2020-01-01T00:00:00Z"}}, {},
         ["inventory/offer_status", "inventory/schedule"]),
        ({"offers": {"startAt": "2030-01-01T00:00:00Z"}}, {}, ["inventory/schedule"]),
        ({"categories": {"status": "paused"}}, {}, ["inventory/category_status"]),
        ({"creatives": {"status": "draft"}}, {}, ["inventory/creative_status"]),
        ({"channels": {"status": "paused"}}, {}, ["inventory/channel_status"]),
        ({"placements": {"status": "paused"}}, {}, ["inventory/placement_status"]),
        ({"decision-flows": {"inventory": {"scope": "offers", "ids": ["car"]}}}, {},
         ["inventory/not_in_inventory"]),
        ({"creatives": {"status": "draft"}, "offers": {"status": "paused"}}, {},
         ["inventory/offer_status", "inventory/creative_status"]),
    ],
)  # fmt: skip
def test_what_is_no_candidate_is_told_why(
    changes: Mapping[str, Mapping[str, Any]], request_: dict[str, Any], expected: list[str]
) -> None:
    changed = {"offers": "card", "categories": "cards", "creatives": "card-site", "channels": "site",
               "placements": "hero", "decision-flows": "flow"}  # fmt: skip
    bodies = merged(qualification_rules=[])
    renewed = {
        kind: [
            {**body, **changes[kind]} if changed.get(kind) == body["id"] and kind in changes else body
            for body in all_
        ]
        for kind, all_ in bodies.items()
    }
    found = judged(tenant(renewed), **request_)["card"]
    assert reasons(found, "card-site") == expected
    assert next(one for one in found.creatives if one.creative_id == "card-site").eligible == (not expected)


def test_an_offer_that_is_paused_is_told_what_else_stands_against_it() -> None:
    offer = {"id": "house", "name": "House", "categoryId": "loans", "status": "paused"}
    found = judged(shop(offers=[offer], qualification_rules=[ADULT]))["house"]
    assert reasons(found, "house-mail") == [
        "inventory/offer_status",
        "qualify/attribute_condition/attribute_condition",
    ]


def test_an_offer_without_a_creative_where_one_is_wanted_says_so() -> None:
    found = judged(shop(), channel_id="site")
    assert found["car"].reasons == [
        Finding(stage="inventory", reason="no_creative", effect="hard", numbers={"channelId": "site"})
    ]
    assert (found["car"].eligible, found["car"].creatives) == (False, [])
    assert [one.creative_id for one in found["card"].creatives] == ["card-site"]
    at_hero = judged(shop(), placements=(PlacementRequest("hero", 1),))
    assert [one.placement_id for one in at_hero["house"].creatives] == ["hero"]
    assert judged(shop(), channel_type="email")["card"].creatives[0].creative_id == "card-mail"


def test_an_override_lifts_what_it_lifts() -> None:
    override = policy("allow_override", {})
    customer = contacted(contact(5, "car-mail"))
    assert not judged(shop(contact_policies=[ONCE]), customer)["car"].eligible
    assert judged(shop(contact_policies=[ONCE, override]), customer)["car"].eligible


def test_a_budget_without_a_lease_is_a_reason() -> None:
    offer = {"id": "car", "name": "Car", "categoryId": "loans", "budget": {"maxPerDay": 3}}
    found = judged(shop(offers=[offer]))["car"]
    assert reasons(found, "car-mail") == ["contact_policy/budget_exhausted"]
    assert found.creatives[0].reasons[0].numbers == {"budget": "offer/car", "room": 0}


class Rooms(msgspec.Struct, frozen=True):
    """Budgets by key."""

    rooms: dict[str, int]

    def room(self, key: str, /) -> int:
        return self.rooms.get(key, 0)


STATUS = st.sampled_from(["active", "active", "active", "paused", "archived", "draft"])
SCOPE = st.sampled_from(
    [None, ("offer", "o1"), ("category", "a"), ("channel", "c1"), ("creative", "o2.c2"), ("segment", "gold"),
     ("placement", "p")]
)  # fmt: skip
RULE = st.tuples(
    st.sampled_from(
        [
            ("attribute_condition", leaf("tier", "eq", "gold")),
            ("expression", {"formula": "hot || customer.tier == 'gold'"}),
            ("expression", {"formula": "attributes.x"}),
            ("segment_required", {"segmentIds": ["gold"]}),
            ("recency_check", {"eventType": "purchase", "withinMs": 1_000}),
            ("propensity_threshold", {"min": 0.6}),
        ]
    ),
    SCOPE,
    st.sampled_from([{}, {}, {"effect": "fit", "multiplier": 0.5}]),
    st.integers(0, 3),
)
FILTER_ = st.sampled_from(
    [
        leaf("offer.priority", "gt", 30),
        leaf("creative.channelId", "eq", "c1"),
        leaf("customer.tier", "eq", "gold"),
        {"any": [leaf("customer.tier", "eq", "gold"), leaf("creative.id", "neq", "o1.c1")]},
    ]
)
SCHEDULE = st.sampled_from([{}, {}, {"startAt": "2030-01-01T00:00:00Z"}, {"endAt": "2020-01-01T00:00:00Z"}])


@st.composite
def catalogues(draw: st.DrawFn, world: World) -> TenantCatalogue:
    """The world's catalogue with anything inactive, off schedule, ruled out or filtered."""
    bodies: dict[str, list[dict[str, Any]]] = {
        "placements": [{"id": "p", "name": "p", "channelId": "c1"}],
        **documents(world),
    }
    for kind in ("offers", "creatives", "channels", "categories", "placements"):
        bodies[kind] = [{**body, "status": draw(STATUS)} for body in bodies[kind]]
    hot = [{"key": "hot", "type": "boolean"}]
    bodies["categories"] = [
        body if "parentId" in body else {**body, "customFields": hot} for body in bodies["categories"]
    ]
    bodies["offers"] = [
        {
            **body,
            **draw(SCHEDULE),
            "fields": {"hot": draw(st.booleans())},
            "budget": draw(st.sampled_from([None, {"maxTotal": 5}])),
        }
        for body in bodies["offers"]
    ]
    bodies["creatives"] = [
        {**body, "placementId": "p" if body["channelId"] == "c1" and draw(st.booleans()) else None}
        for body in bodies["creatives"]
    ]
    bodies["qualification-rules"] = [
        rule(kind, config, *([scope] if scope else []), **effect, priority=priority) | {"id": f"r{i}"}
        for i, ((kind, config), scope, effect, priority) in enumerate(draw(st.lists(RULE, max_size=3)))
    ]
    inventory = draw(st.sampled_from([{}, {}, {"inventory": {"scope": "categories", "ids": ["a"]}}]))
    filters = draw(st.lists(FILTER_, max_size=2))
    bodies["decision-flows"] = [{**bodies["decision-flows"][0], "filters": filters, **inventory}]
    bodies["tenant-settings"] = [
        {"id": "s", "consentDefault": draw(st.sampled_from(["allow", "allow", "allow", "deny"]))}
    ]
    return tenant(bodies)


@settings(max_examples=200)
@given(data=st.data())
def test_it_says_what_a_decision_would_do(data: st.DataObject) -> None:
    world = data.draw(worlds())
    catalogue = data.draw(catalogues(world))
    customer = world.customer()
    assert customer.profile is not None
    consent = st.dictionaries(st.sampled_from(["c1", "web", "all"]), st.sampled_from(["granted", "revoked"]))
    profile = msgspec.structs.replace(customer.profile, consent=data.draw(consent, "consent"))
    customer = msgspec.structs.replace(customer, profile=profile)
    where: dict[str, Any] = data.draw(
        st.sampled_from([{}, {"channel_id": "c2"}, {"placements": (PlacementRequest("p", 50),)}])
    )
    shared = Shared(
        budgets=Rooms(data.draw(st.dictionaries(st.sampled_from(["offer/o1", "offer/o3"]), st.just(9))))
    )
    compiled = catalogue.resolve_flow(None, None, None)
    assert compiled is not None
    request = DecisionRequest(limit=50, trace=True, **where)
    decision = decide(compiled, request, customer, world.now_ms, "salt", lambda: 0.0, shared)
    found = judged(catalogue, customer, world.now_ms, shared, **where)
    _agree(found, decision.trace.stages[2] if decision.trace else None)


def _agree(found: Mapping[str, OfferEligibility], stage: Any) -> None:
    assert isinstance(stage, FilterStage)
    assert set(found) == set(OFFERS)
    traced = {one.creative_id: one for one in stage.candidates}
    for offer in found.values():
        assert offer.eligible == any(one.eligible for one in offer.creatives)
        assert offer.creatives or "no_creative" in [one.reason for one in offer.reasons]
        for creative in offer.creatives:
            hard = [one for one in (*offer.reasons, *creative.reasons) if one.effect == "hard"]
            assert creative.eligible == (not hard)
            candidate = traced.pop(creative.creative_id, None)
            assert (candidate is None) == any(one.stage == "inventory" for one in hard)
            if candidate is not None:
                assert creative.eligible == _passed(candidate)
                assert hard[:1] == ([] if creative.eligible else [_first(candidate, hard[0])])
                assert creative.placement_id == candidate.placement_id
    assert not traced, "every candidate is accounted for"


def _passed(candidate: CandidateTrace) -> bool:
    """Whether a candidate came through the filter stage."""
    return candidate.stage in (None, "rank")


def _first(candidate: CandidateTrace, named: Finding) -> Finding:
    """The reason that a trace gives, under the name that was given."""
    assert candidate.stage is not None
    assert candidate.reason is not None
    return Finding(
        stage=candidate.stage,
        reason=candidate.reason,
        effect="hard",
        rule_id=candidate.rule_id,
        rule_name=named.rule_name,
        numbers=candidate.numbers,
    )
