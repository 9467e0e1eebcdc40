"""Segments: who is in one, what a request may add, and where they are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from app.decision.catalogue import Problem, load_entity
from app.decision.decide import CustomerView
from app.decision.segments import Memberships
from app.decision.state import Profile, Window
from tests.decision.building import creatives, decided, flow, leaf, merged, refused, rule, segment, shop
from tests.decision.documents import ANY_JSON

VISITS = {"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}
REQUIRED = rule("segment_required", {"segmentIds": ["vip"]}, ("offer", "card"))
ANN = CustomerView(
    "ann",
    Profile({"age": 40, "city": "Bonn"}, ("gold",), {"newsletter": "granted"}),
    {"visits": Window(0, {0: 4.0})},
)


def in_vip(tree: dict[str, Any], customer: CustomerView = ANN, **fields: Any) -> bool:
    """Whether the customer gets the card, which wants segment `vip`."""
    catalogue = shop(
        behavioral_metrics=[VISITS],
        segments=[segment("vip", tree, **fields)],
        qualification_rules=[REQUIRED],
    )
    return "card-mail" in creatives(decided(catalogue, customer, channel_id="mail"))


@pytest.mark.parametrize(
    ("tree", "wanted"),
    [
        (leaf("customer.age", "gte", 40), True),
        (leaf("customer.age", "gt", 40), False),
        (leaf("customer.tags", "contains", "gold"), True),
        (leaf("customer.tags", "in", ["silver"]), False),
        (leaf("customer.consent.newsletter", "eq", "granted"), True),
        (leaf("customer.consent.calls", "exists"), False),
        (leaf("metrics.visits", "gte", 4), True),
        (leaf("metrics.m", "lt", 4), False),
        ({"all": [leaf("customer.age", "gt", 1), {"not": leaf("metrics.visits", "gt", 5)}]}, True),
        ({"any": [leaf("customer.age", "gt", 90), leaf("customer.city", "eq", "Bonn")]}, True),
        (leaf("customer.unheard", "neq", 1), False),
    ],
)
def test_who_is_in_a_segment(tree: dict[str, Any], wanted: bool) -> None:
    assert in_vip(tree) is wanted


def test_everybody_even_without_a_profile_has_tags() -> None:
    everybody = leaf("customer.tags", "exists")
    assert in_vip(everybody, CustomerView("nobody"))


@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
def test_a_segment_that_is_not_active_has_nobody_whatever_a_trusted_caller_says(status: str) -> None:
    assert not in_vip(leaf("customer.age", "exists"), status=status)
    catalogue = shop(
        segments=[segment("vip", leaf("customer.age", "exists"), status=status)],
        qualification_rules=[REQUIRED],
    )
    result = decided(catalogue, ANN, channel_id="mail", segments=frozenset({"vip"}))
    assert "card-mail" not in creatives(result)


def test_what_a_trusted_caller_says_adds_to_what_is_evaluated() -> None:
    catalogue = shop(
        segments=[
            segment("vip", leaf("customer.age", "gt", 90)),
            segment("town", leaf("customer.city", "eq", "Bonn"), key="urban"),
        ],
        qualification_rules=[
            REQUIRED,
            {**rule("segment_required", {"segmentIds": ["urban"]}, ("offer", "house")), "id": "r2"},
        ],
    )
    assert creatives(decided(catalogue, ANN, channel_id="mail")) == ["house-mail", "car-mail"]
    told = decided(catalogue, ANN, channel_id="mail", segments=frozenset({"vip"}))
    assert creatives(told) == ["card-mail", "house-mail", "car-mail"]
    assert told.trace is not None
    assert told.trace.stages[0].input["segments"] == ["vip"]  # type: ignore[union-attr]


def test_one_of_several_segments_is_enough_and_the_trace_says_which() -> None:
    catalogue = shop(
        segments=[segment("a", leaf("customer.age", "gt", 90)), segment("b", leaf("customer.age", "gt", 9))],
        qualification_rules=[rule("segment_required", {"segmentIds": ["a", "b"]})],
    )
    assert len(creatives(decided(catalogue, ANN, channel_id="mail"))) == 3
    result = decided(catalogue, channel_id="mail")
    assert result.removals == {"segment_required:segment_required": 3}
    assert result.trace is not None
    verdict = result.trace.stages[2].candidates[0]  # type: ignore[union-attr]
    assert verdict.numbers == {"segmentIds": ["a", "b"], "in": []}


def test_segments_see_what_the_flow_does_not_list() -> None:
    catalogue = shop(
        segments=[segment("vip", leaf("customer.age", "gt", 9))],
        qualification_rules=[REQUIRED],
        decision_flows=flow(enrich={"fields": ["customer.city"]}),
    )
    assert "card-mail" in creatives(decided(catalogue, ANN, channel_id="mail"))


def test_a_segment_is_evaluated_when_asked_and_once() -> None:
    evaluated: list[str] = []

    def holds(environment: Any) -> bool:
        evaluated.append("a")
        return True

    def unused(environment: Any) -> bool:
        raise AssertionError("nobody asked for this segment")

    memberships = Memberships({"a": holds, "b": unused}, dict)
    assert (memberships.in_segment("a"), memberships.in_segment("a")) == (True, True)
    assert memberships.in_segment("gone") is False
    assert evaluated == ["a"]
    told = Memberships({"b": unused}, dict, frozenset({"b", "gone"}))
    assert (told.in_segment("b"), told.in_segment("gone")) == (True, False)


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        ({}, ["filter.field", "filter.operator"]),
        (leaf("age", "gt", 1), ["filter.field"]),
        (leaf("attributes.age", "gt", 1), ["filter.field"]),
        (leaf("customer.age", "over", 1), ["filter.operator"]),
        ({"any": [leaf("customer.age", "gt", 1), leaf("context.x", "gt", 1)]}, ["filter.any[1].field"]),
        ({"all": []}, ["filter.all"]),
        ({"all": [leaf("metrics.gone", "gt", 1)]}, ["segments[vip].filter.all[0].field"]),
    ],
)
def test_a_wrong_filter_is_refused_with_its_path(tree: dict[str, Any], paths: list[str]) -> None:
    assert refused(merged(segments=[segment("vip", tree)])) == paths


@settings(max_examples=300)
@given(tree=ANY_JSON)
def test_any_filter_is_accepted_or_refused_with_a_path(tree: Any) -> None:
    loaded = load_entity("segments", {"id": "s", "name": "s", "filter": tree})
    if isinstance(loaded, list):
        assert loaded
        assert all(isinstance(one, Problem) and one.path.startswith("filter") for one in loaded)
