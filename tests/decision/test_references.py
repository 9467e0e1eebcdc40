"""What flows, rules and segments hold on to: it cannot be deleted under them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.decision.catalogue import check_tenant, users_of
from tests.decision.building import flow, leaf, loaded, merged, refused, rule, segment


def test_flows_rules_and_segments_are_users_of_what_they_read() -> None:
    documents = merged(
        offers=[{"id": "card", "key": "plastic", "name": "Card", "categoryId": "cards"}],
        behavioral_metrics=[{"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}],
        segments=[segment("busy", leaf("metrics.visits", "gt", 3), key="b")],
        qualification_rules=[
            rule("segment_required", {"segmentIds": ["b"]}),
            rule("attribute_condition", leaf("age", "gt", 1), ("segment", "busy")),
            rule("metric_condition", leaf("m", "gt", 1)),
        ],
        decision_flows=flow(
            fallbackOfferIds=["plastic"],
            filters=[{"not": leaf("metrics.m", "gt", 3)}],
            enrich={"fields": ["metrics.visits", "customer.age"]},
        ),
    )
    entities = loaded(documents)
    assert check_tenant("t", entities) == []
    assert users_of("segments", "busy", entities) == [
        ("qualification-rules", "attribute_condition"),
        ("qualification-rules", "segment_required"),
    ]
    assert users_of("behavioral-metrics", "m", entities) == [
        ("decision-flows", "flow"),
        ("qualification-rules", "metric_condition"),
        ("segments", "busy"),
    ]
    assert ("decision-flows", "flow") in users_of("offers", "card", entities)


READ = [{"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}]
EXTRA = {"id": "cards", "name": "Cards", "customFields": [{"key": "margin", "type": "number"}]}


def by_expression(text: str) -> dict[str, Any]:
    """A scoring by a formula."""
    return {"method": "expression", "expression": text}


def racing(text: str) -> dict[str, Any]:
    """An active experiment whose second variant scores by a formula."""
    variants = [{"key": "a", "weight": 50}, {"key": "b", "weight": 50, "scoring": by_expression(text)}]
    base = {"id": "race", "key": "race", "status": "active", "target": "scoring", "controlVariant": "a"}
    return {**base, "variants": variants}


@pytest.mark.parametrize(
    ("text", "fields", "fits", "listed"),
    [
        ("score.fit + 1", [], True, True),
        ("coalesce(margin, 0) + attributes.a + context.b", ["customer.age"], True, True),
        ("nope + 1", [], False, True),
        ("metrics.nope", [], False, True),
        ("metrics.nope", ["metrics.visits"], False, True),
        ("metrics.visits + metrics.m", ["metrics.m"], True, True),
        ("metrics.visits", ["customer.age"], True, False),
        ("customer.income", [], True, True),
        ("customer.income", ["customer.*"], True, True),
        ("customer.income", ["customer.age"], True, False),
    ],
)
def test_a_scoring_expression_reads_only_what_is_there(
    text: str, fields: list[str], fits: bool, listed: bool
) -> None:
    def problems(scoring: dict[str, Any], **more: Any) -> list[str]:
        one = flow(scoring=scoring, enrich={"fields": fields}, **more)
        return refused(
            merged(
                behavioral_metrics=READ, categories=[EXTRA], experiments=[racing(text)], decision_flows=one
            )
        )

    variant = [] if fits else ["experiments[race].variants[1].scoring.expression"]
    own = [] if fits and listed else ["decision-flows[flow].scoring.expression"]
    assert sorted(problems(by_expression(text))) == own + variant
    assert problems(by_expression(text), status="draft") == variant
    hidden = [] if listed else ["decision-flows[flow].enrich.fields"]
    assert sorted(problems({}, experimentId="race")) == hidden + variant
    assert problems({}) == variant


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ({"kind": "logistic", "features": ["customer.age", "metrics.%s"]}, "features[1]"),
        (
            {"kind": "scorecard", "config": {"features": [{"field": "metrics.%s", "weight": 1}]}},
            "config.features[0].field",
        ),
    ],
)
def test_a_model_reads_only_metrics_that_exist(model: dict[str, Any], path: str) -> None:
    def reading(key: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(json.dumps(model).replace("%s", key))
        return {"id": "mod", "key": "mod", **body}

    unknown = merged(behavioral_metrics=READ, models=[reading("nope")])
    assert refused(unknown) == [f"models[mod].{path}"]
    known = merged(behavioral_metrics=READ, models=[reading("visits")])
    assert refused(known) == []
    assert users_of("behavioral-metrics", "m", loaded(known)) == [("models", "mod")]


def test_scoring_expressions_are_users_of_the_metrics_and_models_that_they_read() -> None:
    documents = merged(
        behavioral_metrics=READ,
        experiments=[racing("metrics.visits")],
        decision_flows=flow(scoring=by_expression("metrics.m * 2")),
    )
    assert users_of("behavioral-metrics", "m", loaded(documents)) == [
        ("decision-flows", "flow"),
        ("experiments", "race"),
    ]


@pytest.mark.parametrize(
    ("formula", "fields", "inventory", "paths"),
    [
        ("customer.income", [], {}, []),
        ("customer.income", ["customer.age"], {}, ["decision-flows[flow].enrich.fields"]),
        ("metrics.visits", ["customer.age"], {}, ["decision-flows[flow].enrich.fields"]),
        ("customer.income", ["customer.income"], {}, []),
        ("attributes.amount", ["customer.age"], {}, []),
        ("customer.income", ["customer.age"], {"scope": "categories", "ids": ["loans"]}, []),
        ("customer.income", ["customer.age"], {"scope": "offers", "ids": ["car"]}, []),
        (
            "customer.income",
            ["customer.age"],
            {"scope": "offers", "ids": ["card"]},
            ["decision-flows[flow].enrich.fields"],
        ),
    ],
)
def test_a_flow_lists_what_the_computed_fields_of_its_offers_read(
    formula: str, fields: list[str], inventory: dict[str, Any], paths: list[str]
) -> None:
    computed = {"key": "room", "type": "computed", "formula": formula}
    cards = {"id": "cards", "name": "Cards", "customFields": [computed]}
    one = flow(enrich={"fields": fields}, inventory=inventory)
    assert refused(merged(behavioral_metrics=READ, categories=[cards], decision_flows=one)) == paths
