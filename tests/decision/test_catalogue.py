"""The catalogue: references, look-ups, routing, snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.catalogue import CatalogSnapshot, check_tenant, users_of
from app.decision.entities import TenantSettings
from app.decision.routing import ChannelChoice
from tests.decision.building import NOW_MS, SHOP, creatives, decided, loaded, policy, shop


def problems(**more: Any) -> dict[str, str]:
    """What is wrong with the shop after some additions, by path."""
    documents = {kind: list(bodies) for kind, bodies in SHOP.items()}
    for name, bodies in more.items():
        documents.setdefault(name.replace("_", "-"), []).extend(bodies)
    return {problem.path: problem.message for problem in check_tenant("t", loaded(documents))}


def test_references_to_nothing_are_named_all_at_once() -> None:
    found = problems(
        offers=[{"id": "x", "name": "x", "categoryId": "nowhere", "subCategoryId": "cards"}],
        creatives=[{"id": "y", "name": "y", "offerId": "x", "channelId": "fax", "placementId": "hero"}],
        contact_policies=[
            {
                **policy("frequency_cap", {"total": 1, "channels": ["fax"]}),
                "scopes": [{"scope": "offer", "id": "gone"}],
            }
        ],
        decision_flows=[
            {
                "id": "z",
                "name": "z",
                "status": "active",
                "routes": [{"channelId": "tv"}],
                "inventory": {"scope": "offers", "ids": ["card", "none"]},
                "qualification": {"ruleIds": ["r"]},
                "contactPolicies": {"policyIds": ["frequency_cap", "p"]},
            }
        ],
    )
    assert set(found) == {
        "offers[x].categoryId",
        "creatives[y].channelId",
        "contact-policies[frequency_cap].config.channels[0]",
        "contact-policies[frequency_cap].scopes[0].id",
        "decision-flows[z].routes[0].channelId",
        "decision-flows[z].inventory.ids[1]",
        "decision-flows[z].qualification.ruleIds[0]",
        "decision-flows[z].contactPolicies.policyIds[1]",
    }
    assert "nowhere" in found["offers[x].categoryId"]


@pytest.mark.parametrize(("status", "refused"), [("draft", False), ("active", True), ("paused", True)])
def test_only_a_draft_flow_may_be_incomplete(status: str, refused: bool) -> None:
    flow = {"id": "z", "name": "z", "status": status, "routes": [{"channelId": "tv"}]}
    assert bool(problems(decision_flows=[flow])) is refused


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"offers": [{"id": "x", "key": "card", "name": "x", "categoryId": "cards"}]}, "offers[x].key"),
        ({"categories": [{"id": "x", "name": "x", "parentId": "home"}]}, "categories[x].parentId"),
        ({"categories": [{"id": "x", "name": "x", "parentId": "x"}]}, "categories[x].parentId"),
        ({"offers": [{"id": "x", "name": "x", "categoryId": "cards", "subCategoryId": "home"}]},
         "offers[x].subCategoryId"),
        ({"offers": [{"id": "x", "name": "x", "categoryId": "cards", "fields": {"fee": 1}}]},
         "offers[x].fields.fee"),
        ({"creatives": [{"id": "x", "name": "x", "offerId": "card", "channelId": "mail",
                         "placementId": "hero"}]}, "creatives[x].placementId"),
        ({"contact_policies": [policy("cooldown", {"cooldownMs": 1}, ("subcategory", "loans"))]},
         "contact-policies[cooldown].scopes[0].id"),
        ({"qualification_rules": [{"id": "x", "name": "x", "kind": "metric_condition",
                                   "config": {"field": "visits", "operator": "gt", "value": 1}}]},
         "qualification-rules[x].config.field"),
        ({"behavioral_metrics": [{"id": "x", "key": "x", "aggregate": "count",
                                  "eventTypes": ["page", "outcome.applause"]}]},
         "behavioral-metrics[x].eventTypes[1]"),
    ],
)  # fmt: skip
def test_entities_that_contradict_each_other_are_named(more: dict[str, Any], path: str) -> None:
    assert list(problems(**more)) == [path]


def test_custom_fields_are_those_of_the_category_and_its_parent() -> None:
    documents: dict[str, Any] = {
        "categories": [
            {"id": "a", "name": "a", "customFields": [{"key": "fee", "type": "number", "required": True}]},
            {"id": "b", "name": "b", "parentId": "a", "customFields": [{"key": "soon", "type": "boolean"}]},
        ],
        "offers": [
            {
                "id": "good",
                "name": "x",
                "categoryId": "a",
                "subCategoryId": "b",
                "fields": {"fee": 1, "soon": True},
            },
            {"id": "bare", "name": "x", "categoryId": "a"},
            {"id": "text", "name": "x", "categoryId": "a", "fields": {"fee": "1"}},
        ],
    }
    found = {problem.path for problem in check_tenant("t", loaded(documents))}
    assert found == {"offers[bare].fields.fee", "offers[text].fields.fee"}


def test_ids_and_keys_are_interchangeable_and_what_is_found_refers_by_id() -> None:
    catalogue = shop(
        categories=[{"id": "cards", "key": "plastic", "name": "Cards"}],
        offers=[{"id": "card", "key": "gold-card", "name": "Card", "categoryId": "plastic"}],
        creatives=[{"id": "card-mail", "name": "m", "offerId": "gold-card", "channelId": "mail"}],
        contact_policies=[policy("frequency_cap", {"total": 0}, ("category", "plastic"))],
    )
    offer = catalogue.offer("gold-card")
    assert offer is not None
    assert (offer, offer.category_id) == (catalogue.offer("card"), "cards")
    assert catalogue.offer("nothing") is None
    assert "card-mail" not in creatives(decided(catalogue))


def test_late_responses_still_find_what_is_archived() -> None:
    archived = {"id": "card", "name": "Card", "categoryId": "cards", "status": "archived"}
    assert shop(offers=[archived]).offer("card") is not None


def test_outcome_types_are_the_system_ones_and_the_tenants() -> None:
    catalogue = shop(outcome_types=[{"id": "o1", "key": "applause", "classification": "positive"}])
    for key, classification, category in (
        ("impression", "neutral", "impression"),
        ("click", "positive", "response"),
        ("complaint", "negative", "response"),
        ("defer", "neutral", "response"),
        ("applause", "positive", "response"),
    ):
        outcome = catalogue.outcome_type(key)
        assert outcome is not None
        assert (outcome.key, outcome.classification, outcome.category) == (key, classification, category)
    assert catalogue.outcome_type("conversion") is catalogue.outcome_type("convert")
    assert catalogue.outcome_type("boo") is None


def test_metrics_are_found_by_the_types_they_count() -> None:
    metrics = [
        {"id": "m1", "key": "visits", "aggregate": "count", "eventTypes": ["page", "page", "app"]},
        {"id": "m2", "key": "spent", "aggregate": "sum", "field": "conversionValue",
         "eventTypes": ["outcome.conversion"]},
        {"id": "m3", "key": "paused", "aggregate": "count", "eventTypes": ["page"], "status": "paused"},
    ]  # fmt: skip
    catalogue = shop(behavioral_metrics=metrics)
    assert [metric.key for metric in catalogue.metrics_for("page")] == ["visits"]
    assert [metric.key for metric in catalogue.metrics_for("outcome.convert")] == ["spent"]
    assert catalogue.metrics_for("outcome.conversion") == catalogue.metrics_for("outcome.convert")
    assert catalogue.metrics_for("other") == ()
    assert set(catalogue.metrics) == {"visits", "spent"}


def flow(flow_id: str, *routes: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"id": flow_id, "name": flow_id, "status": "active", "routes": list(routes), **fields}


ROUTED = [
    flow("exact", {"channelId": "site", "placementId": "hero"}, updatedAt="2026-01-01T00:00:00Z"),
    flow("site", {"channelId": "site"}, key="web-flow"),
    flow("off", {"channelId": "mail"}, status="paused", updatedAt="2026-09-01T00:00:00Z"),
    flow("newest", updatedAt="2026-05-01T00:00:00Z"),
]


@pytest.mark.parametrize(
    ("ref", "channel", "placement", "wanted"),
    [
        (None, "site", "hero", "exact"),
        (None, None, "hero", "exact"),
        (None, "site", None, "site"),
        (None, "web", None, "site"),
        (None, "site", "gone", "site"),
        (None, "mail", None, "flow"),
        (None, None, None, "flow"),
        (None, "nowhere", None, "flow"),
        ("web-flow", "mail", None, "site"),
        ("exact", None, None, "exact"),
        ("off", None, None, None),
        ("gone", "site", "hero", None),
        ("", "site", "hero", None),
    ],
)
def test_the_more_exact_route_wins(
    ref: str | None, channel: str | None, placement: str | None, wanted: str | None
) -> None:
    found = shop(decision_flows=ROUTED).resolve_flow(ref, channel, placement)
    assert (found.flow_id if found else None) == wanted


def test_without_a_default_the_flow_updated_last_decides() -> None:
    flows = [*ROUTED, flow("flow", status="draft", default=True)]
    found = shop(decision_flows=flows).resolve_flow(None, None, None)
    assert found is not None
    assert found.flow_id == "newest"
    assert shop(decision_flows=[flow("flow", status="archived")]).resolve_flow(None, None, None) is None


def test_a_channel_is_meant_by_id_key_or_type() -> None:
    catalogue = shop(channels=[{"id": "app", "key": "phone", "name": "App", "type": "push"},
                               {"id": "tab", "name": "Tab", "type": "web"}])  # fmt: skip
    assert catalogue.resolve_channel("phone") == ChannelChoice(channel_id="app")
    assert catalogue.resolve_channel("push") == ChannelChoice(channel_id="app")
    assert catalogue.resolve_channel("web") == ChannelChoice(channel_type="web")
    assert catalogue.resolve_channel("sms") is None


def test_a_snapshot_changes_one_tenant_and_leaves_the_old_one_as_it_was() -> None:
    entities = loaded(SHOP)
    first = CatalogSnapshot().with_changes("a", entities, 1).with_changes("b", entities, 2)
    second = first.with_changes("a", {("offers", "card"): None, ("offers", "gone"): None}, 3)
    assert (first.version, second.version) == (2, 3)
    assert second.tenant("b") is first.tenant("b")
    assert first.tenant("a").offer("card") is not None
    assert second.tenant("a").offer("card") is None
    assert second.tenant("a").entities.keys() == entities.keys() - {("offers", "card")}
    assert second.tenant_ids() == ("a", "b")


def test_an_unknown_tenant_has_an_empty_catalogue() -> None:
    empty = CatalogSnapshot().tenant("nobody")
    assert empty.offer("card") is None
    assert empty.resolve_flow(None, None, None) is None
    assert empty.outcome_type("click") is not None


def test_what_is_broken_all_the_same_is_left_out_and_the_rest_decides() -> None:
    entities = loaded(SHOP)
    broken = {key: one for key, one in entities.items() if key != ("categories", "loans")}
    catalogue = CatalogSnapshot().with_changes("t", broken, 1).tenant("t")
    assert creatives(decided(catalogue, now_ms=NOW_MS, channel_id="mail")) == ["card-mail"]


def test_users_of_an_entity_are_those_that_refer_to_it() -> None:
    documents = {kind: list(bodies) for kind, bodies in SHOP.items()}
    documents["contact-policies"] = [policy("cooldown", {"cooldownMs": 1}, ("offer", "card"))]
    entities = loaded(documents)
    assert users_of("offers", "card", entities) == [
        ("contact-policies", "cooldown"),
        ("creatives", "card-mail"),
        ("creatives", "card-site"),
    ]
    assert users_of("creatives", "card-mail", entities) == []


def test_a_snapshot_knows_how_long_any_tenant_wants_its_traces() -> None:
    def kept(days: int) -> TenantSettings:
        return TenantSettings(id="s", trace_retention_days=days)

    day_ms = 86_400_000
    snapshot = CatalogSnapshot()
    assert snapshot.trace_retention_ms == 7 * day_ms
    brief = snapshot.with_changes("a", {("tenant-settings", "s"): kept(1)}, 1)
    assert brief.trace_retention_ms == day_ms
    both = brief.with_changes("b", {("tenant-settings", "s"): kept(30)}, 2)
    assert both.trace_retention_ms == 30 * day_ms
    assert both.with_changes("b", {("tenant-settings", "s"): None}, 3).trace_retention_ms == 7 * day_ms
