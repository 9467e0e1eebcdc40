"""Qualification rules: what each kind compares, where it holds, and how often it is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision import rule_kinds
from app.decision.candidate import Candidate
from app.decision.catalogue import Problem, load_entity
from app.decision.decide import CustomerView
from app.decision.known import Known
from app.decision.learning.evidence import Tally
from app.decision.rule_kinds import RULE_KINDS, OfferTest, Resolve
from app.decision.shared import Shared
from app.decision.state import DAY_MS, Profile
from tests.decision.building import (
    creatives,
    decided,
    leaf,
    merged,
    refused,
    rule,
    segment,
    shop,
)
from tests.decision.documents import ANY_JSON, nearly

ANN = CustomerView("ann", Profile({"age": 17}, ("gold",)))
TOO_YOUNG = {"field": "age", "operator": "gte", "value": 18}


class Counted:
    """Evidence by key, that remembers what it was asked."""

    def __init__(self, **tallies: tuple[int, int]) -> None:
        self.tallies = {key.replace("_", "/"): Tally(*tally) for key, tally in tallies.items()}
        self.asked: list[str] = []

    def tally(self, key: str, /) -> Tally:
        self.asked.append(key)
        return self.tallies.get(key, Tally())

    def weights(self, model_id: str, /) -> bytes | None:
        return None


def mail(*rules: dict[str, Any], customer: CustomerView = ANN, **more: Any) -> list[str]:
    """The creatives on the mail channel under some rules."""
    catalogue = shop(qualification_rules=rules, segments=[GOLD])
    return creatives(decided(catalogue, customer, channel_id="mail", **more))


GOLD = segment("gold", leaf("customer.tags", "contains", "gold"))


# -- where a rule holds


@pytest.mark.parametrize(
    ("scopes", "removed"),
    [
        ([], {"card-mail", "house-mail", "car-mail", "card-site", "house-site"}),
        ([("channel", "mail")], {"card-mail", "house-mail", "car-mail"}),
        ([("category", "loans")], {"house-mail", "car-mail", "house-site"}),
        ([("category", "home")], {"house-mail", "house-site"}),
        ([("subcategory", "home")], {"house-mail", "house-site"}),
        ([("offer", "card")], {"card-mail", "card-site"}),
        ([("creative", "card-site")], {"card-site"}),
        ([("placement", "hero")], {"card-site"}),
        ([("segment", "gold")], {"card-mail", "house-mail", "car-mail", "card-site", "house-site"}),
        ([("segment", "silver")], set()),
        ([("segment", "silver"), ("offer", "car")], {"car-mail"}),
        ([("creative", "car-mail"), ("placement", "hero")], {"car-mail", "card-site"}),
    ],
)
@pytest.mark.parametrize("effect", ["hard", "fit"])
@pytest.mark.parametrize("kind", ["attribute_condition", "propensity_threshold"])
def test_a_rule_holds_in_any_of_its_scopes(
    scopes: list[tuple[str, str]], removed: set[str], effect: str, kind: str
) -> None:
    config = TOO_YOUNG if kind == "attribute_condition" else {"min": 0.9}
    fit = {"multiplier": 0.5} if effect == "fit" else {}
    catalogue = shop(
        qualification_rules=[rule(kind, config, *scopes, effect=effect, **fit)],
        segments=[GOLD, segment("silver", leaf("customer.tags", "contains", "silver"))],
        decision_flows=[
            {"id": "flow", "name": "F", "status": "active", "ranking": {"oneCreativePerOffer": False}}
        ],
    )
    result = decided(catalogue, ANN)
    if effect == "hard":
        kept = {"card-mail", "house-mail", "car-mail", "card-site", "house-site"} - removed
        assert set(creatives(result)) == kept
    else:
        lowered = {one.creative_id for one in result.decisions if one.score_explanation["fit"] == 0.5}
        assert lowered == removed
        assert len(result.decisions) == 5


def test_fits_multiply_within_their_range() -> None:
    rules = [
        {**rule("attribute_condition", TOO_YOUNG, effect="fit", multiplier=fit), "id": f"f{fit}"}
        for fit in (0.1, 0.5, 1)
    ]
    rules.append({**rule("propensity_threshold", {"min": 0.6}, ("offer", "car")), "effect": "fit"})
    rules[-1]["multiplier"] = 0.5
    result = decided(shop(qualification_rules=rules), ANN, channel_id="mail")
    scores = {one.offer_id: one.score for one in result.decisions}
    assert scores == pytest.approx({"card": 0.9 * 0.05, "house": 0.8 * 0.05, "car": 0.7 * 0.025})


@pytest.mark.parametrize("kind", ["attribute_condition", "metric_condition"])
@pytest.mark.parametrize(("on_missing", "count"), [("pass", 3), ("fail", 0), (None, 0)])
def test_what_is_missing_fails_unless_it_may_pass(kind: str, on_missing: str | None, count: int) -> None:
    config: dict[str, Any] = {"field": "gone", "operator": "neq", "value": 1}
    if on_missing:
        config["onMissing"] = on_missing
    catalogue = shop(
        qualification_rules=[rule(kind, config)],
        behavioral_metrics=[
            {"id": "gone", "key": "gone", "aggregate": "count", "eventTypes": ["x"], "status": "paused"}
        ],
    )
    assert len(creatives(decided(catalogue, ANN, channel_id="mail"))) == count


# -- propensity_threshold


@pytest.mark.parametrize(
    ("evidence", "wanted"),
    [
        ({}, 0.5),
        ({"tenant": (9, 9)}, 0.5),
        ({"tenant": (10, 1)}, 0.1),
        ({"tenant": (10, 1), "category_cards": (19, 19)}, 0.1),
        ({"tenant": (10, 1), "category_cards": (20, 4)}, 0.2),
        ({"category_cards": (20, 4), "offer_card": (1, 1)}, (1 + 10 * 0.2) / 11),
        ({"offer_card": (1, 0)}, 5 / 11),
        ({"category_cards": (20, 4), "offer_card": (49, 49)}, (49 + 2) / 59),
        ({"category_cards": (20, 4), "offer_card": (50, 5)}, 0.1),
        ({"offer_card": (60, 90)}, 1.0),
        ({"category_loans": (20, 20)}, 0.5),
    ],
)
def test_propensity_comes_from_the_narrowest_evidence(
    evidence: dict[str, tuple[int, int]], wanted: float
) -> None:
    for least, passes in ((wanted - 1e-9, True), (wanted + 1e-9, False)):
        if 0 <= least <= 1:
            got = mail(
                rule("propensity_threshold", {"min": least}, ("offer", "card")),
                shared=Shared(evidence=Counted(**evidence)),
            )
            assert ("card-mail" in got) is passes


def test_the_offer_is_asked_for_once_and_only_where_a_rule_wants_it() -> None:
    evidence = Counted()
    rules = [
        {**rule("propensity_threshold", {"min": 0.4}, ("offer", "card")), "id": "a"},
        {**rule("propensity_threshold", {"min": 0.3}, ("offer", "card")), "id": "b"},
        {**rule("attribute_condition", TOO_YOUNG, ("offer", "house")), "id": "c", "priority": 90},
    ]
    catalogue = shop(
        qualification_rules=rules,
        decision_flows=[
            {"id": "flow", "name": "F", "status": "active", "ranking": {"oneCreativePerOffer": False}}
        ],
    )
    result = decided(catalogue, ANN, shared=Shared(evidence=evidence))
    assert sorted(creatives(result)) == ["car-mail", "card-mail", "card-site"]
    # Traced and untraced, two creatives, two rules: once each.
    assert evidence.asked.count("offer/card") == 2
    assert "offer/car" not in evidence.asked


def test_creatives_of_an_offer_may_be_under_different_rules() -> None:
    rules = [
        {**rule("propensity_threshold", {"min": 0.4}, ("creative", "card-mail")), "id": "a"},
        {**rule("propensity_threshold", {"min": 0.9}, ("creative", "card-site")), "id": "b"},
    ]
    result = decided(shop(qualification_rules=rules), ANN, exclude_offers=frozenset({"house", "car"}))
    assert creatives(result) == ["card-mail"]
    assert result.removals["propensity_threshold:b"] == 1


def test_a_rule_on_the_offer_is_looked_at_once_an_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def counting(config: dict[str, Any], path: str, resolve: Resolve) -> OfferTest:
        def holds(known: Known, candidate: Candidate) -> bool:
            looked.append(candidate.offer.id)
            return True

        return OfferTest(holds=holds, numbers=lambda known, candidate: {})

    monkeypatch.setattr(rule_kinds, "RULE_KINDS", {"propensity_threshold": counting})
    catalogue = shop(qualification_rules=[rule("propensity_threshold", {"min": 0.4})])
    # Five candidates of three offers, decided traced and untraced.
    decided(catalogue, ANN)
    assert sorted(looked) == ["car", "car", "card", "card", "house", "house"]


def test_the_trace_shows_the_propensity() -> None:
    result = decided(
        shop(qualification_rules=[rule("propensity_threshold", {"min": 0.6})]), ANN, channel_id="mail"
    )
    assert result.trace is not None
    verdict = result.trace.stages[2].candidates[0]  # type: ignore[union-attr]
    assert (verdict.stage, verdict.reason, verdict.numbers) == (
        "qualify",
        "propensity_threshold",
        {"propensity": 0.5, "min": 0.6},
    )


# -- what is refused


@pytest.mark.parametrize(
    ("kind", "config", "paths"),
    [
        ("segment_required", {}, ["config.segmentIds"]),
        ("segment_required", {"segmentIds": []}, ["config.segmentIds"]),
        ("segment_required", {"segmentIds": ["gold", 3]}, ["config.segmentIds[1]"]),
        ("segment_required", {"segmentIds": ["gold", "no"]},
         ["qualification-rules[segment_required].config.segmentIds[1]"]),
        ("propensity_threshold", {}, ["config.min"]),
        ("propensity_threshold", {"min": 1.1}, ["config.min"]),
        ("propensity_threshold", {"min": 0.5, "max": 1}, ["config.max"]),
        ("recency_check", {"eventType": "page"}, ["config.withinMs"]),
        ("recency_check", {"eventType": "page", "withinMs": 0}, ["config.withinMs"]),
        ("recency_check", {"eventType": "page", "withinMs": 30 * DAY_MS + 1}, ["config.withinMs"]),
        ("recency_check", {"eventType": "", "withinMs": 5}, ["config.eventType"]),
        ("recency_check", {"eventType": "outcome.no", "withinMs": 5},
         ["qualification-rules[recency_check].config.eventType"]),
        ("metric_condition", {"field": "no", "operator": "gt", "value": 1},
         ["qualification-rules[metric_condition].config.field"]),
        ("attribute_condition", {"field": "offer.id", "operator": "eq", "value": 1}, ["config.field"]),
        ("attribute_condition", {"field": "customer.offer.id", "operator": "eq", "value": 1}, []),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused_with_its_path(kind: str, config: dict[str, Any], paths: list[str]) -> None:
    assert refused(merged(segments=[GOLD], qualification_rules=[rule(kind, config)])) == paths


def test_a_segment_scope_must_name_a_segment() -> None:
    scoped = rule("attribute_condition", TOO_YOUNG, ("segment", "no"))
    assert refused(merged(qualification_rules=[scoped])) == [
        "qualification-rules[attribute_condition].scopes[0].id"
    ]


CONFIGS = nearly(
    "field", "operator", "value", "onMissing", "segmentIds", "min", "eventType", "withinMs", "invert"
)


@settings(max_examples=400)
@given(kind=st.sampled_from(list(RULE_KINDS)), config=ANY_JSON | CONFIGS)
def test_any_config_is_accepted_and_decides_or_is_refused_with_a_path(kind: str, config: Any) -> None:
    loaded = load_entity("qualification-rules", {"id": "r", "name": "r", "kind": kind, "config": config})
    if isinstance(loaded, list):
        assert loaded
        assert all(isinstance(one, Problem) and one.path.startswith("config") for one in loaded)
        return
    documents = merged(qualification_rules=[{"id": "r", "name": "r", "kind": kind, "config": config}])
    if not refused(documents):
        decided(shop(qualification_rules=documents["qualification-rules"]), ANN)
