"""Documents: what is accepted, what is refused and where, and that nothing else happens."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import Problem, check_tenant, compile_tenant, load_entity
from app.decision.entities import KINDS, Channel, DecisionFlow, Entity, Offer
from tests.decision.documents import ANY_JSON, nearly

SMALLEST: dict[str, dict[str, Any]] = {
    "categories": {"name": "n"},
    "channels": {"name": "n", "type": "email"},
    "placements": {"name": "n", "channelId": "a"},
    "offers": {"name": "n", "categoryId": "a"},
    "creatives": {"name": "n", "offerId": "a", "channelId": "a"},
    "outcome-types": {"key": "seen", "classification": "neutral"},
    "behavioral-metrics": {"key": "m", "aggregate": "count", "eventTypes": ["page"]},
    "qualification-rules": {
        "name": "n",
        "kind": "attribute_condition",
        "config": {"field": "age", "operator": "gt", "value": 1},
    },
    "contact-policies": {"name": "n", "kind": "cooldown", "config": {"cooldownMs": 1}},
    "segments": {"name": "n", "filter": {"field": "customer.age", "operator": "gt", "value": 1}},
    "models": {"key": "m", "kind": "thompson"},
    "decision-flows": {"name": "n"},
    "api-keys": {"name": "n", "role": "viewer"},
    "experiments": {
        "key": "e",
        "target": "scoring",
        "variants": [{"key": "a", "weight": 100}],
        "controlVariant": "a",
    },
    "tenant-settings": {},
}


def refused(kind: str, /, **fields: Any) -> list[Problem]:
    """The problems of the smallest document of a kind with other fields."""
    loaded = load_entity(kind, {**SMALLEST[kind], **fields})
    assert isinstance(loaded, list), loaded
    return loaded


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_document_of_each_kind_loads_and_survives_export(kind: str) -> None:
    entity = load_entity(kind, {**SMALLEST[kind], "id": "a"})
    assert isinstance(entity, KINDS[kind])
    assert load_entity(kind, msgspec.json.decode(msgspec.json.encode(entity))) == entity


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_refuses_what_it_does_not_know_and_requires_what_it_must(kind: str) -> None:
    assert [problem.path for problem in refused(kind, colour="red")] == ["colour"]
    empty = load_entity(kind, {})
    missing = {problem.path for problem in empty} if isinstance(empty, list) else set()
    assert missing == set(SMALLEST[kind]) - {"config"}


def test_a_tenant_has_one_settings_entity() -> None:
    def settings_named(*ids: str) -> dict[tuple[str, str], Entity]:
        loaded = {("tenant-settings", name): load_entity("tenant-settings", {"id": name}) for name in ids}
        return {key: entity for key, entity in loaded.items() if isinstance(entity, Entity)}

    assert check_tenant("t", settings_named("a")) == []
    assert [problem.path for problem in check_tenant("t", settings_named("b", "a"))] == ["tenant-settings[b]"]
    assert not compile_tenant("t", {}).settings.stale_reads


def test_defaults_are_those_of_the_catalogue() -> None:
    offer = load_entity("offers", SMALLEST["offers"])
    assert isinstance(offer, Offer)
    assert (offer.priority, offer.weight, offer.business_value, offer.status) == (50, 100, 50, "active")
    flow = load_entity("decision-flows", SMALLEST["decision-flows"])
    assert isinstance(flow, DecisionFlow)
    assert (flow.status, flow.default, flow.ranking.mandatory_first) == ("draft", False, True)


@pytest.mark.parametrize(
    ("fields", "implicit"),
    [({}, False), ({"delivery": "batch"}, True), ({"impressionTracking": "implicit"}, True),
     ({"delivery": "batch", "impressionTracking": "explicit"}, False)],
)  # fmt: skip
def test_batch_channels_count_the_decision_itself_unless_told(fields: dict[str, Any], implicit: bool) -> None:
    channel = load_entity("channels", {**SMALLEST["channels"], **fields})
    assert isinstance(channel, Channel)
    assert (channel.implicit, channel.answers_without_log) == (implicit, not implicit)


@pytest.mark.parametrize(
    ("kind", "fields", "paths"),
    [
        ("offers", {"priority": 101, "weight": -1, "name": ""}, {"priority", "weight", "name"}),
        ("offers", {"priority": "5"}, {"priority"}),
        ("offers", {"priority": True}, {"priority"}),
        ("offers", {"priority": math.nan}, {"priority"}),
        ("offers", {"priority": 2**70}, {"priority"}),
        ("offers", {"id": "a b"}, {"id"}),
        ("offers", {"id": "line\n"}, {"id"}),
        ("offers", {"id": ""}, {"id"}),
        ("offers", {"key": "x" * 129}, {"key"}),
        ("offers", {"name": "x" * 256, "description": "x" * 2_001}, {"name", "description"}),
        ("offers", {"fields": {"deep": "\ud800"}}, {"fields.deep"}),
        ("offers", {"startAt": "2026-01-01T00:00:00"}, {"startAt"}),
        ("offers", {"startAt": "2026-01-02T00:00:00Z", "endAt": "2026-01-02T01:00:00+01:00"}, {"endAt"}),
        ("offers", {"budget": {"maxSpendTotal": 5}}, {"budget.spendPerDelivery"}),
        ("creatives", {"budget": {"maxPerDay": -5}}, {"budget.maxPerDay"}),
        ("tenant-settings", {"timeZone": "Europe/Bielefeld"}, {"timeZone"}),
        ("offers", {"status": "live"}, {"status"}),
        ("categories", {"customFields": [{"key": "a"}, {"key": "a", "type": "derived"}]},
         {"customFields[0].type", "customFields[1].type"}),
        ("categories", {"customFields": [{"key": "a", "type": "number", "default": "x"}]},
         {"customFields[0].default"}),
        ("categories", {"customFields": [{"key": "a", "type": "date", "default": "zzz"}]},
         {"customFields[0].default"}),
        ("categories", {"customFields": [{"key": "a", "type": "date", "default": "2026-02-30"}]},
         {"customFields[0].default"}),
        ("channels", {"type": "fax"}, {"type"}),
        ("channels", {"reservationMs": 5, "impressionTracking": "implicit"}, {"reservationMs"}),
        ("channels", {"reservationMs": 5, "delivery": "batch"}, {"reservationMs"}),
        ("channels", {"reservationMs": 2_592_000_001}, {"reservationMs"}),
        ("behavioral-metrics", {"aggregate": "median"}, {"aggregate"}),
        ("behavioral-metrics", {"aggregate": "sum"}, {"field"}),
        ("behavioral-metrics", {"aggregate": "sum", "field": "offerId"}, {"field"}),
        ("behavioral-metrics", {"field": "data.x"}, {"field"}),
        ("behavioral-metrics", {"eventTypes": []}, {"eventTypes"}),
        ("behavioral-metrics", {"filter": {"field": "x", "operator": "exists"}}, {"filter.field"}),
        ("behavioral-metrics", {"windowMs": 0}, {"windowMs"}),
        ("behavioral-metrics", {"key": "a.b"}, {"key"}),
        ("outcome-types", {"key": "click"}, {"key"}),
        ("outcome-types", {"key": "conversion"}, {"key"}),
        ("qualification-rules", {"kind": "expression"},
         {"config.field", "config.operator", "config.value", "config.formula"}),
        ("qualification-rules", {"kind": "expression", "config": {"formula": "1 +"}}, {"config.formula"}),
        ("qualification-rules", {"effect": "fit"}, {"multiplier"}),
        ("qualification-rules", {"multiplier": 0.5}, {"multiplier"}),
        ("qualification-rules", {"effect": "fit", "multiplier": 0.05}, {"multiplier"}),
        ("qualification-rules", {"config": {"field": "age"}}, {"config.operator"}),
        ("qualification-rules", {"config": {"field": "age", "operator": "is", "value": 1}},
         {"config.operator"}),
        ("qualification-rules", {"config": {"field": "age", "operator": "gt", "value": None}},
         {"config.value"}),
        ("qualification-rules", {"config": {"field": "metrics.m", "operator": "gt", "value": 1}},
         {"config.field"}),
        ("decision-flows", {"scoring": {"method": "best", "weights": {"p": 2}}},
         {"scoring.method", "scoring.weights.p"}),
        ("decision-flows", {"status": "active", "filters": [{}], "enrich": {"fields": ["age"]}},
         {"filters[0].field", "filters[0].operator", "enrich.fields[0]"}),
        ("decision-flows", {"latencyBudgetMs": 0, "fallbackOfferIds": ["a b"], "unknownCustomers": "maybe"},
         {"latencyBudgetMs", "fallbackOfferIds[0]", "unknownCustomers"}),
        ("segments", {"filter": {"field": "age", "operator": "gt", "value": 1}}, {"filter.field"}),
        ("placements", {"maxSlots": 0}, {"maxSlots"}),
        ("tenant-settings", {"holdoutPercent": 101, "consentDefault": "no"},
         {"holdoutPercent", "consentDefault"}),
        ("decision-flows", {"inventory": {"ids": ["a"]}, "routes": [{}]}, {"inventory.ids", "routes[0]"}),
        ("decision-flows", {"ranking": {"maxPerCategory": 0}}, {"ranking.maxPerCategory"}),
    ],
)  # fmt: skip
def test_every_problem_comes_at_once_with_its_path(
    kind: str, fields: dict[str, Any], paths: set[str]
) -> None:
    assert {problem.path for problem in refused(kind, **fields)} == paths


def test_a_kind_that_does_not_exist_is_refused_by_naming_those_that_do() -> None:
    for kind, wanted in (
        (
            "qualification-rules",
            "must be one of: segment_required, attribute_condition, metric_condition, ",
        ),
        ("contact-policies", "must be one of: frequency_cap, cooldown, "),
    ):
        (problem,) = refused(kind, kind="horoscope")
        assert problem.path == "kind"
        assert problem.message.startswith(wanted)


def test_values_that_change_nothing_are_let_by() -> None:
    fields: dict[str, Any] = {
        "experimentId": None,
        "scoring": {"weights": {}},
    }
    assert isinstance(load_entity("decision-flows", {**SMALLEST["decision-flows"], **fields}), DecisionFlow)


def test_what_is_no_document_is_refused() -> None:
    for body in (None, 3, "x", [], [1], {1: 2}, {"name": object()}):
        assert isinstance(load_entity("offers", body), list), body
    assert isinstance(load_entity("offer", {}), list)
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert [problem.message for problem in refused("offers", fields={"x": deep})] == [
        "is nested deeper than 160 levels"
    ]


@settings(max_examples=300)
@given(kind=st.sampled_from(list(KINDS)), body=ANY_JSON)
def test_any_json_is_an_entity_or_a_list_of_problems(kind: str, body: Any) -> None:
    loaded = load_entity(kind, body)
    assert isinstance(loaded, Entity) or all(isinstance(one, Problem) for one in loaded)
    assert loaded != []


@settings(max_examples=600)
@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_nearly_right_documents_never_break_loading_checking_or_compiling(
    data: st.DataObject, kind: str
) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(KINDS[kind])]
    body = {**SMALLEST[kind], "id": "a", **data.draw(nearly(*names))}
    entity = load_entity(kind, body)
    if isinstance(entity, list):
        assert entity
        return
    assert load_entity(kind, msgspec.json.decode(msgspec.json.encode(entity))) == entity
    others = {(other, "a"): load_entity(other, {**SMALLEST[other], "id": "a"}) for other in KINDS}
    entities = {key: one for key, one in others.items() if isinstance(one, Entity)}
    entities[kind, entity.id] = entity
    problems = check_tenant("t", entities)
    assert all(problem.path.partition("[")[0] in KINDS for problem in problems)
    compile_tenant("t", entities)
