"""What a flow may know: the fields that its `enrich` lists, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.state import Profile, Window
from tests.decision.building import SHOP, decided, flow, leaf, merged, policy, refused, rule, shop

METRICS = [
    {"id": "m1", "key": "visits", "aggregate": "count", "eventTypes": ["page"]},
    {"id": "m2", "key": "buys", "aggregate": "count", "eventTypes": ["purchase"]},
]
ANN = CustomerView(
    "ann",
    Profile({"age": 40, "city": "Bonn", "a.b": 1}, ("gold",), {"mail": "granted", "calls": "revoked"}),
    {"visits": Window(0, {0: 4.0}), "buys": Window(0, {0: 2.0})},
)
CONSENT = {"mail": "granted", "calls": "revoked"}
EVERYTHING = {
    "customer.age": 40,
    "customer.city": "Bonn",
    "customer.a.b": 1,
    "customer.tags": ["gold"],
    "customer.consent": CONSENT,
    "metrics.visits": 4.0,
    "metrics.buys": 2.0,
}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ([], list(EVERYTHING)),
        (["customer.age"], ["customer.age"]),
        (["customer.a.b", "metrics.visits"], ["customer.a.b", "metrics.visits"]),
        (["metrics.m2"], ["metrics.buys"]),
        (["customer.tags"], ["customer.tags"]),
        (["customer.consent"], ["customer.consent"]),
        (["customer.*"], [name for name in EVERYTHING if name.startswith("customer.")]),
        (["metrics.*", "customer.city"], ["customer.city", "metrics.visits", "metrics.buys"]),
        (["customer.unheard"], []),
    ],
)
def test_traces_and_templates_have_only_the_fields_listed(fields: list[str], names: list[str]) -> None:
    content = {
        "bare": "{{ age | none }} {{ city | none }}",
        "full": "{{ customer.age | none }} {{ customer.tags | none }} {{ metrics.visits | none }}",
        "asked": "{{ attributes.device }}",
    }
    mail = {"id": "card-mail", "name": "m", "offerId": "card", "channelId": "mail", "content": content}
    catalogue = shop(
        behavioral_metrics=METRICS, creatives=[mail], decision_flows=flow(enrich={"fields": fields})
    )
    result = decided(catalogue, ANN, channel_id="mail", attributes={"device": "tv"})
    assert result.trace is not None
    assert result.trace.stages[0].output == {name: EVERYTHING[name] for name in names}  # type: ignore[union-attr]
    shown = {
        "customer.age": "40",
        "customer.city": "Bonn",
        "customer.tags": "gold",
        "metrics.visits": "4",
    }
    age, city, tags, visits = (
        shown[name] if name in names else "none"
        for name in ("customer.age", "customer.city", "customer.tags", "metrics.visits")
    )
    assert result.decisions[0].content == {
        "bare": f"{age} {city}",
        "full": f"{age} {tags} {visits}",
        "asked": "tv",
    }


def test_one_purpose_of_the_consent_can_be_listed() -> None:
    catalogue = shop(
        decision_flows=flow(
            enrich={"fields": ["customer.consent.mail"]},
            filters=[leaf("customer.consent.mail", "eq", "granted")],
        )
    )
    result = decided(catalogue, ANN, channel_id="mail")
    assert len(result.decisions) == 3
    assert result.trace is not None
    output = result.trace.stages[0].output  # type: ignore[union-attr]
    assert output == {"customer.consent": {"mail": "granted"}}


@pytest.mark.parametrize("listed", ["metrics.m2", "metrics.buys"])
@pytest.mark.parametrize("read", ["metrics.m2", "metrics.buys"])
def test_a_metric_may_be_listed_and_read_by_id_or_key(listed: str, read: str) -> None:
    catalogue = shop(
        behavioral_metrics=METRICS,
        decision_flows=flow(enrich={"fields": [listed]}, filters=[leaf(read, "eq", 2)]),
    )
    assert len(decided(catalogue, ANN, channel_id="mail").decisions) == 3


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        ("attribute_condition", leaf("age", "gt", 1), "customer.age"),
        ("attribute_condition", leaf("customer.tags", "contains", "gold"), "customer.tags"),
        ("attribute_condition", leaf("customer.consent.mail", "eq", "granted"), "customer.consent.mail"),
        ("metric_condition", leaf("m1", "gt", 1), "metrics.m1"),
        ("metric_condition", leaf("visits", "gt", 1), "metrics.visits"),
    ],
)
def test_a_rule_or_filter_that_reads_what_is_not_listed_refuses_the_flow(
    kind: str, config: dict[str, Any], field: str
) -> None:
    def with_fields(*fields: str, status: str = "active", **more: Any) -> list[str]:
        documents = merged(
            behavioral_metrics=METRICS,
            qualification_rules=[rule(kind, config)],
            decision_flows=flow(enrich={"fields": list(fields)}, status=status, **more),
        )
        return refused(documents)

    assert with_fields() == []
    assert with_fields("customer.city") == ["decision-flows[flow].enrich.fields"]
    assert with_fields("customer.city", status="draft") == []
    assert with_fields("customer.city", qualification={"ruleIds": []}) == []
    assert with_fields(field) == []
    assert with_fields("customer.*", "metrics.*") == []
    if field.startswith("metrics."):
        assert with_fields("metrics.m1") == with_fields("metrics.visits") == []
    filtered: dict[str, Any] = {"filters": [leaf(field, "exists")], "qualification": {"ruleIds": []}}
    assert with_fields("customer.city", **filtered) == ["decision-flows[flow].filters[0].field"]
    assert with_fields(field, **filtered) == []


@pytest.mark.parametrize(
    ("field", "paths"),
    [
        ("age", ["enrich.fields[1]"]),
        ("customer.", ["enrich.fields[1]"]),
        ("offer.id", ["enrich.fields[1]"]),
        ("attributes.device", ["enrich.fields[1]"]),
        ("", ["enrich.fields[1]"]),
        ("metrics.gone", ["decision-flows[flow].enrich.fields[1]"]),
    ],
)
def test_a_wrong_name_is_refused_with_its_path(field: str, paths: list[str]) -> None:
    assert refused(merged(decision_flows=flow(enrich={"fields": ["customer.age", field]}))) == paths


def test_contact_policies_read_what_the_flow_may_not() -> None:
    """They are the tenant's promise: a flow that knows less of the customer keeps it all the same."""
    metric = {"id": "m", "key": "visits", "name": "m", "aggregate": "count", "eventTypes": ["visit"]}
    too_often = {"metric": "visits", "operator": "gte", "value": 0}
    narrow = {**SHOP["decision-flows"][0], "enrich": {"fields": ["customer.age"]}}
    catalogue = shop(
        behavioral_metrics=[metric],
        contact_policies=[policy("metric_condition", too_often)],
        decision_flows=[narrow],
    )
    assert decided(catalogue).decisions == ()
