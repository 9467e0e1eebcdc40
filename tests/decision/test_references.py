"""What flows, rules and segments hold on to: it cannot be deleted under them."""

from __future__ import annotations

from app.decision.catalogue import check_tenant, users_of
from tests.decision.building import flow, leaf, loaded, merged, rule, segment


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
