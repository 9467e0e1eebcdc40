"""Scoring and models as documents: compiled at publish, or refused with a path."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.catalogue import check_tenant, compile_tenant, load_entity
from app.decision.decide import CustomerView, DecisionRequest, decide
from tests.decision.building import NOW_MS, SHOP, loaded
from tests.decision.documents import ANY_JSON
from tests.decision.scoring.test_methods import SCORECARD, flow

EPSILON = {"id": "eg", "key": "eg", "name": "e", "kind": "epsilon_greedy"}
THOMPSON = {"id": "ts", "key": "ts", "name": "t", "kind": "thompson"}
LEARNING = {"id": "lr", "key": "lr", "kind": "logistic", "features": ["customer.age"]}
PAUSED = {**SCORECARD, "id": "off", "key": "off", "status": "paused"}


@pytest.mark.parametrize(
    ("scoring", "path", "words"),
    [
        ({"modelId": "sc"}, "modelId", "priority_weighted uses no model"),
        ({"weights": {"p": 1, "r": 0, "i": 0, "e": 0}}, "weights", "uses no weights"),
        ({"method": "propensity", "expression": "1"}, "expression", "uses no expression"),
        ({"method": "propensity", "propensityFrom": "model"}, "propensityFrom", "needs a modelId"),
        ({"method": "propensity", "modelId": "gone"}, "modelId", "there is no gone among the models"),
        ({"method": "propensity", "modelId": "off"}, "modelId", "off is paused, not active"),
        ({"method": "formula", "weights": {"p": 0.5}}, "weights", "must sum to 1, not 1.1"),
        ({"method": "expression"}, "expression", "is required"),
        ({"method": "expression", "expression": "1 +\n* 2"}, "expression", "2:1"),
        ({"method": "expression", "expression": "score.magic"}, "expression", "score.magic is not one of"),
        ({"method": "expression", "expression": "1", "modelId": "eg"}, "modelId", "not expression"),
        (
            {"method": "formula", "modelId": "eg", "weights": {"p": 0, "r": 0.5, "i": 0.4, "e": 0.1}},
            "weights.p",
            "would not count",
        ),
        ({"method": "propensity", "modelId": "ts", "floor": 0.2}, "floor", "no meaning with Thompson"),
        ({"method": "formula", "modelId": "ts", "floor": 0.2}, "floor", "no meaning with Thompson"),
        ({"method": "expression", "expression": "score.fit", "modelId": "sc"}, "modelId", "score.propensity"),
        ({"method": "expression", "expression": "score.fit", "modelId": "lr"}, "modelId", "score.propensity"),
        (
            {"method": "formula", "modelId": "lr", "weights": {"p": 0, "r": 0.5, "i": 0.4, "e": 0.1}},
            "weights.p",
            "would not count",
        ),
        (
            {"method": "propensity", "modelId": "eg", "propensityFrom": "model"},
            "propensityFrom",
            "has no effect",
        ),
    ],
)
def test_an_active_flow_must_be_able_to_score(scoring: dict[str, Any], path: str, words: str) -> None:
    documents: dict[str, list[dict[str, Any]]] = {
        **SHOP,
        "models": [SCORECARD, EPSILON, THOMPSON, LEARNING, PAUSED],
        "decision-flows": [flow(**scoring), {"id": "draft", "name": "Draft", "scoring": scoring}],
    }
    problems = check_tenant("t", loaded(documents))
    assert [problem.path for problem in problems] == [f"decision-flows[flow].scoring.{path}"]
    assert words in problems[0].message


@pytest.mark.parametrize("scoring", [{"modelId": "ts"}, {"modelId": "eg", "floor": 0.2}])
def test_a_strategy_whose_scores_are_not_drawn_may_have_a_floor(scoring: dict[str, Any]) -> None:
    documents: dict[str, list[dict[str, Any]]] = {
        **SHOP,
        "models": [EPSILON, THOMPSON],
        "decision-flows": [flow(method="propensity", **scoring)],
    }
    assert check_tenant("t", loaded(documents)) == []


KINDS = ["scorecard", "logistic", "thompson", "epsilon_greedy", "trees"]


@given(kind=st.sampled_from(KINDS) | ANY_JSON, config=ANY_JSON)
def test_any_document_is_a_model_or_refused_with_a_path(kind: Any, config: Any) -> None:
    found = load_entity("models", {"id": "m", "key": "m", "kind": kind, "config": config})
    if isinstance(found, list):
        places = {re.split(r"[.\[]", problem.path)[0] for problem in found}
        assert places <= {"kind", "config", "features"}


SCORING = st.fixed_dictionaries(
    {"method": st.sampled_from(["priority_weighted", "propensity", "formula", "expression"]) | ANY_JSON},
    optional={
        "modelId": st.sampled_from(["sc", "eg", "off", "gone"]) | ANY_JSON,
        "weights": st.dictionaries(st.sampled_from("prie"), st.floats(0, 1), max_size=4) | ANY_JSON,
        "expression": st.text(max_size=30) | st.sampled_from(["score.propensity", "1/0", "customer.x * 2"]),
        "propensityFrom": st.sampled_from(["evidence", "model"]),
        "floor": st.floats(0, 1) | ANY_JSON,
    },
)


@given(SCORING)
def test_any_scoring_is_refused_or_decides(scoring: Any) -> None:
    body = flow(**scoring) if isinstance(scoring, dict) else {}
    entity = load_entity("decision-flows", body)
    if isinstance(entity, list):
        assert all(problem.path for problem in entity)
        return
    entities = loaded({**SHOP, "decision-flows": [], "models": [SCORECARD, EPSILON, PAUSED]})
    entities["decision-flows", "flow"] = entity
    refused = check_tenant("t", entities)
    assert all(problem.path.startswith("decision-flows[flow].scoring") for problem in refused)
    compiled = compile_tenant("t", entities).flows["flow"]
    result = decide(compiled, DecisionRequest(), CustomerView("ann"), NOW_MS, "salt", lambda: 0.0)
    assert result.total_candidates == 5
