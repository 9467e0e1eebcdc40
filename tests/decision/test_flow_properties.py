"""What holds for any flow: it is refused with a path or decides, whatever the order of the catalogue."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import Problem, load_entity
from app.decision.decide import CustomerView, PlacementRequest
from app.decision.shared import Shared
from app.decision.state import Profile, RecentEvent, Window
from tests.decision.building import (
    NOW_MS,
    SHOP,
    contact,
    decided,
    flow,
    leaf,
    merged,
    policy,
    refused,
    rule,
    segment,
    shop,
    tenant,
)
from tests.decision.documents import ANY_JSON, nearly

MORE: dict[str, list[dict[str, Any]]] = {
    "segments": [
        segment("gold", leaf("customer.tags", "contains", "gold")),
        segment("busy", leaf("metrics.visits", "gte", 3)),
        segment("off", leaf("customer.tags", "exists"), status="paused"),
    ],
    "behavioral-metrics": [{"id": "m", "key": "visits", "aggregate": "count", "eventTypes": ["page"]}],
}
RULES = [
    rule("segment_required", {"segmentIds": ["gold", "busy"]}, ("offer", "card")),
    rule("attribute_condition", leaf("age", "gte", 18), ("segment", "busy")),
    rule("metric_condition", leaf("visits", "gte", 1), ("category", "loans"), effect="fit", multiplier=0.7),
    rule("propensity_threshold", {"min": 0.4}, ("creative", "car-mail"), effect="fit", multiplier=0.3),
    rule("recency_check", {"eventType": "page", "withinMs": 60_000}, ("subcategory", "home")),
]
TREES = st.recursive(
    st.sampled_from(
        [
            leaf("customer.age", "gte", 18),
            leaf("customer.tags", "contains", "gold"),
            leaf("metrics.visits", "lt", 5),
            leaf("context.page", "not_exists"),
            leaf("offer.priority", "gte", 80),
            leaf("offer.id", "neq", "card"),
            leaf("creative.channelId", "eq", "mail"),
        ]
    ),
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=4,
)
FLOWS = st.fixed_dictionaries(
    {},
    optional={
        "filters": st.lists(TREES, max_size=3),
        "fallbackOfferIds": st.lists(st.sampled_from(["card", "house", "car"]), unique=True, max_size=3),
        "enrich": st.just({"fields": ["customer.*", "metrics.visits"]}),
        "scoring": st.fixed_dictionaries({"floor": st.sampled_from([0.0, 0.5, 0.8])}),
        "ranking": st.fixed_dictionaries(
            {},
            optional={
                "maxPerCategory": st.integers(1, 3),
                "mandatoryFirst": st.booleans(),
                "oneCreativePerOffer": st.booleans(),
            },
        ),
    },
)
CUSTOMERS = st.builds(
    CustomerView,
    st.sampled_from(["ann", "bob", "C-7"]),
    st.none()
    | st.builds(
        Profile,
        st.fixed_dictionaries({}, optional={"age": st.integers(10, 30)}),
        st.sampled_from([(), ("gold",)]),
        st.dictionaries(st.sampled_from(["mail", "web", "all"]), st.sampled_from(["granted", "revoked"])),
    ),
    st.sampled_from([{}, {"visits": Window(0, {0: 4.0})}]),
    st.sampled_from([[], [contact(5)], [contact(5, "car-mail"), contact(9, "card-site")]]),
    recent=st.sampled_from([[], [RecentEvent(NOW_MS - 5, "page")]]),
)
REQUESTS = st.fixed_dictionaries(
    {"limit": st.integers(1, 5)},
    optional={
        "channel_id": st.sampled_from(["mail", "site"]),
        "placements": st.just((PlacementRequest("hero", 1),)),
        "segments": st.just(frozenset({"gold", "off"})),
        "shared": st.sampled_from([Shared(), Shared(fallback=True)]),
    },
)


@settings(max_examples=150)
@given(
    data=st.data(),
    fields=FLOWS,
    rules=st.lists(st.sampled_from(RULES), unique_by=lambda one: one["id"], max_size=5),
    holdout=st.sampled_from([0, 50, 100]),
    default=st.sampled_from(["allow", "deny"]),
    customer=CUSTOMERS,
    request=REQUESTS,
)
def test_the_order_in_the_catalogue_changes_nothing(
    data: st.DataObject,
    fields: dict[str, Any],
    rules: list[dict[str, Any]],
    holdout: int,
    default: str,
    customer: CustomerView,
    request: dict[str, Any],
) -> None:
    documents: dict[str, list[Any]] = {
        **SHOP,
        **MORE,
        "qualification-rules": rules,
        "contact-policies": [policy("frequency_cap", {"perDay": 2}, ("channel", "mail"))],
        "decision-flows": flow(**fields),
        "tenant-settings": [{"id": "s", "holdoutPercent": holdout, "consentDefault": default}],
    }
    kinds = data.draw(st.permutations(list(documents)))
    shuffled = {kind: data.draw(st.permutations(documents[kind])) for kind in kinds}
    result = decided(tenant(documents), customer, **request)
    other = decided(tenant(shuffled), customer, **request)
    assert (result.decisions, result.removals) == (other.decisions, other.removals)
    assert (result.degraded, result.control_group) == (other.degraded, other.control_group)
    taken = len(result.decisions) + sum(result.removals.values())
    assert taken <= result.total_candidates
    assert result.total_candidates >= result.after_qualification >= result.after_contact_policy


@settings(max_examples=300)
@given(
    body=nearly("filters", "enrich", "fallbackOfferIds", "latencyBudgetMs", "unknownCustomers", "scoring",
                "ranking", "inventory", "qualification", "contactPolicies")
    | st.dictionaries(st.sampled_from(["filters", "enrich", "fallbackOfferIds", "scoring"]), ANY_JSON),
    status=st.sampled_from(["active", "draft"]),
)  # fmt: skip
def test_any_flow_is_refused_with_a_path_or_decides(body: dict[str, Any], status: str) -> None:
    document = {**flow()[0], **body, "status": status}
    loaded = load_entity("decision-flows", document)
    if isinstance(loaded, list):
        assert loaded
        assert all(isinstance(one, Problem) and one.path for one in loaded)
        return
    paths = refused(merged(decision_flows=[document], **{k.replace("-", "_"): v for k, v in MORE.items()}))
    assert all(path.startswith("decision-flows[flow].") for path in paths)
    if not paths and status == "active":
        decided(shop(decision_flows=[document]))
        decided(shop(decision_flows=[document]), shared=Shared(fallback=True))
