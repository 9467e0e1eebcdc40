"""Recommend, traces, eligibility and simulation, sentence by sentence, against a live worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.bank import CASHBACK, EMAIL, FLOW, PLATINUM
from tests.contract.service import Service
from tests.contract.test_conventions import RECOMMEND, fields, refused

FIELDS = {
    "recommendationId", "customerId", "count", "decisions", "recommendations", "decisionFlowId",
    "processedAt", "meta",
}  # fmt: skip
DECISION = {
    "offerId", "offerName", "categoryId", "categoryName", "channelId", "channelName", "creativeId",
    "creativeName", "rank", "score", "content", "personalization", "scoreExplanation", "interactionId",
}  # fmt: skip
META = {"totalCandidates", "afterQualification", "afterContactPolicy", "degradedScoring"}


@pytest.fixture(scope="module")
def known(service: Service) -> str:
    """A customer that the engine knows."""
    service.ok("PUT", "/api/v1/customers/decided", {"attributes": {"firstName": "Sarah"}})
    return "decided"


def test_the_answer(service: Service, known: str) -> None:
    answer = service.ok("POST", RECOMMEND, {"customerId": known}, role="viewer")
    assert set(answer) == FIELDS
    assert set(answer["meta"]) == META
    assert len(answer["decisions"]) == answer["count"] == 3
    for rank, one in enumerate(answer["decisions"], 1):
        assert set(one) - {"experiment", "placement"} == DECISION
        assert one["rank"] == rank
        assert {"method", "finalScore"} <= set(one["scoreExplanation"])
    assert answer["recommendations"] == answer["decisions"]
    debug = service.ok("POST", RECOMMEND, {"customerId": known, "debug": True})
    assert sum(debug["meta"]["removals"].values()) > 0


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 2, "maxOffers": 3},
        {"decisionFlowId": FLOW, "decisionFlowKey": "other"},
        {"decisionFlowId": FLOW, "blueprintKey": "other"},
        {"decisionFlowKey": FLOW, "blueprintKey": "other"},
    ],
)
def test_aliases_with_different_values_are_400(service: Service, known: str, body: dict[str, Any]) -> None:
    got = service.call("POST", RECOMMEND, {"customerId": known, **body})
    assert fields(refused(got, 400, "VALIDATION_ERROR")) == {list(body)[1]}


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 51}, "limit"),
        ({"maxOffers": 0}, "maxOffers"),
        ({"limit": 2.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"customerId": "x" * 257}, "customerId"),
        ({"customerId": ""}, "customerId"),
        ({"channelId": "ch_nowhere"}, "channelId"),
        ({"channel": "pigeon"}, "channel"),
        ({"placement": "nowhere"}, "placement"),
        ({"placements": ["hero_offer", "nowhere"]}, "placements[1]"),
        ({"placements": [{"placement": "hero_offer", "limit": 51}]}, "placements[0].limit"),
        ({"excludeOffers": [1]}, "excludeOffers[0]"),
    ],
)
def test_what_is_out_of_range_or_unknown_is_400(
    service: Service, known: str, body: dict[str, Any], bad: str
) -> None:
    got = service.call("POST", RECOMMEND, {"customerId": known, **body})
    assert fields(refused(got, 400, "VALIDATION_ERROR")) == {bad}


def test_aliases_and_fields_do_what_they_say(service: Service, known: str) -> None:
    def ask(**body: Any) -> list[str]:
        found = service.ok("POST", RECOMMEND, {"customerId": known, **body})
        return [one["offerId"] for one in found["decisions"]]

    assert ask(limit=1) == ask(maxOffers=1) == ask(limit=1, maxOffers=1) == [PLATINUM]
    for name in ("decisionFlowId", "decisionFlowKey", "blueprintKey"):
        assert ask(**{name: FLOW}) == ask()
        got = service.call("POST", RECOMMEND, {"customerId": known, name: "df_nowhere"})
        refused(got, 404, "NOT_FOUND")
    assert ask(channelId=EMAIL) == ask(channel="email") == ask()
    assert PLATINUM not in ask(excludeOffers=[PLATINUM])
    assert ask(excludeCreatives=["treat_cashback_email", "creative_001"]) == [PLATINUM, "act_auto_loan"]
    # Unknown fields are ignored, and so are segments of a caller that is not trusted.
    assert ask(colour="red", segments=["seg_owners", "nowhere"], sessionId="s", context={"a": 1}) == ask()
    refused(service.call("POST", RECOMMEND, {"customerId": "never-seen"}), 404, "NOT_FOUND")


def test_placements(service: Service, known: str) -> None:
    def ask(*placements: Any, **body: Any) -> list[tuple[str, int]]:
        asked = {"customerId": known, "placements": list(placements), **body}
        found = service.ok("POST", RECOMMEND, asked)["decisions"]
        assert [one["rank"] for one in found] == list(range(1, len(found) + 1))
        assert {one["placement"] for one in found} <= {"hero_offer"}
        return [(one["offerId"], one["rank"]) for one in found]

    one = [(PLATINUM, 1)]
    assert ask("hero_offer", limit=1) == ask({"placement": "hero_offer", "limit": 1}) == one
    twice = ({"placement": "hero_offer", "limit": 1}, {"placement": "hero_offer", "limit": 2})
    assert ask(*twice) == [(PLATINUM, 1), (CASHBACK, 2), ("act_auto_loan", 3)]
    assert ask(*twice, deduplicate=True) == ask(*twice)
    assert ask(*twice, deduplicate=False) == [(PLATINUM, 1), (PLATINUM, 2), (CASHBACK, 3)]


def test_an_idempotency_key_brings_the_same_answer(service: Service, known: str) -> None:
    keyed = {"Idempotency-Key": "deciding-1"}
    first = service.ok("POST", RECOMMEND, {"customerId": known, "trace": True}, headers=keyed)
    assert service.ok("POST", RECOMMEND, {"customerId": known}, headers=keyed) == first
    assert service.ok("POST", RECOMMEND, {"customerId": known}) != first


def test_nothing_left_is_an_empty_list_with_the_funnel(service: Service, known: str) -> None:
    body = {"customerId": known, "excludeOffers": [PLATINUM, CASHBACK, "act_auto_loan"], "trace": True}
    answer = service.ok("POST", RECOMMEND, body)
    assert (answer["count"], answer["decisions"], answer["recommendations"]) == (0, [], [])
    assert answer["meta"]["totalCandidates"] > answer["meta"]["afterQualification"] == 0
    listed = service.ok("GET", f"/api/v1/decision-traces?customerId={known}&limit=1")
    assert listed["decisionTraces"][0]["id"] == answer["traceId"]


def test_a_trace_says_of_each_candidate_what_became_of_it(service: Service, known: str) -> None:
    answer = service.ok("POST", RECOMMEND, {"customerId": known, "trace": True})
    trace = service.ok("GET", f"/api/v1/decision-traces/{answer['traceId']}", role="viewer")
    stages = {stage["name"]: stage for stage in trace["stages"]}
    home = next(one for one in stages["filter"]["candidates"] if one["offerId"] == "act_home_loan")
    assert (home["verdict"], home["reason"], home["ruleId"]) == ("removed", "segment_required", "only_owners")
    assert home["numbers"]
    refused(service.call("GET", "/api/v1/decision-traces/trace_abc123"), 404, "NOT_FOUND")


def test_why_not(service: Service, known: str) -> None:
    found = service.ok("GET", f"/api/v1/customers/{known}/eligibility", role="viewer")
    eligible = {one["offerId"]: one["eligible"] for one in found["offers"]}
    assert eligible == {PLATINUM: True, CASHBACK: True, "act_auto_loan": True, "act_home_loan": False}
    home = next(one for one in found["offers"] if one["offerId"] == "act_home_loan")
    assert "only_owners" in str(home)
    refused(service.call("GET", "/api/v1/customers/never-seen/eligibility"), 404, "NOT_FOUND")


def test_a_simulation_changes_nothing(service: Service, known: str) -> None:
    path = f"/api/v1/decision-traces?customerId={known}"
    before = service.ok("GET", path)["total"], service.ok("GET", f"/api/v1/customers/{known}")
    body = {
        "customerId": known,
        "trace": True,
        "overrides": {"offers": [{"id": CASHBACK, "priority": 99}]},
    }
    simulated = service.ok("POST", "/api/v1/simulate", body, role="editor")
    assert (simulated["simulated"], simulated["decisions"][0]["offerId"]) == (True, CASHBACK)
    assert (service.ok("GET", path)["total"], service.ok("GET", f"/api/v1/customers/{known}")) == before
