"""Each kind of entity as tests write it: the least it takes, a change of it, and what uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Body = dict[str, Any]


class KindCase(NamedTuple):
    """A kind: what must be there first, the least body, fields that differ in a changed one, a user of it.

    `user` is (kind, body) of an entity that refers to id `x1`; None where nothing can.
    """

    kind: str
    needs: Sequence[tuple[str, Body]]
    least: Body
    changed: Body
    user: tuple[str, Body] | None


_CATEGORY = ("categories", {"id": "cat", "name": "Music"})
_CHANNEL = ("channels", {"id": "web", "name": "Web", "type": "web"})
_OFFER = ("offers", {"id": "vinyl", "name": "Vinyl", "categoryId": "cat"})
_CREATIVE = ("creatives", {"id": "c1", "name": "C", "offerId": "vinyl", "channelId": "web"})
_SCOPED = {"name": "P", "kind": "cooldown", "config": {"cooldownMs": 1000}}


def _rule_on(scope: str) -> tuple[str, Body]:
    return ("contact-policies", {**_SCOPED, "id": "user", "scopes": [{"scope": scope, "id": "x1"}]})


def _flow(**fields: Any) -> tuple[str, Body]:
    return ("decision-flows", {"id": "user", "name": "F", "status": "active", **fields})


CASES: Sequence[KindCase] = (
    KindCase(
        "categories",
        (),
        {"name": "Books"},
        {"description": "To read", "customFields": [{"key": "pages", "type": "number"}]},
        ("offers", {"id": "user", "name": "O", "categoryId": "x1"}),
    ),
    KindCase(
        "channels",
        (),
        {"name": "Mail", "type": "email"},
        {"delivery": "batch"},
        ("placements", {"id": "user", "name": "P", "channelId": "x1"}),
    ),
    KindCase(
        "placements",
        (_CHANNEL,),
        {"name": "Hero", "channelId": "web"},
        {"maxSlots": 3},
        _rule_on("placement"),
    ),
    KindCase(
        "offers", (_CATEGORY,), {"name": "Tape", "categoryId": "cat"}, {"priority": 90}, _rule_on("offer")
    ),
    KindCase(
        "creatives",
        (_CATEGORY, _CHANNEL, _OFFER),
        {"name": "Banner", "offerId": "vinyl", "channelId": "web"},
        {"weight": 5, "content": {"headline": "{{ customer.name }}"}},
        _rule_on("creative"),
    ),
    KindCase(
        "outcome-types",
        (),
        {"key": "borrow", "classification": "positive"},
        {"classification": "neutral"},
        (
            "behavioral-metrics",
            {"id": "user", "key": "u", "aggregate": "count", "eventTypes": ["outcome.x1"]},
        ),
    ),
    KindCase(
        "behavioral-metrics",
        (),
        {"key": "purchases", "aggregate": "count", "eventTypes": ["purchase"]},
        {"windowMs": 86_400_000},
        (
            "segments",
            {"id": "user", "name": "S", "filter": {"field": "metrics.x1", "operator": "gte", "value": 1}},
        ),
    ),
    KindCase(
        "segments",
        (),
        {"name": "Adults", "filter": {"field": "customer.age", "operator": "gte", "value": 18}},
        {"description": "Of age"},
        _rule_on("segment"),
    ),
    KindCase(
        "models",
        (),
        {"key": "explore", "kind": "thompson"},
        {"description": "Beta-Bernoulli"},
        _flow(scoring={"method": "propensity", "modelId": "x1"}),
    ),
    KindCase(
        "experiments",
        (_CATEGORY, _CHANNEL, _OFFER, _CREATIVE),
        {
            "key": "cta",
            "target": "creative",
            "offerId": "vinyl",
            "variants": [{"key": "a", "weight": 100, "creativeId": "c1"}],
            "controlVariant": "a",
        },
        {"stickyDays": 7},
        None,
    ),
    KindCase(
        "qualification-rules",
        (),
        {"name": "Recent", "kind": "recency_check", "config": {"eventType": "purchase", "withinMs": 1000}},
        {"priority": 10},
        _flow(qualification={"ruleIds": ["x1"]}),
    ),
    KindCase(
        "contact-policies",
        (),
        {"name": "Once", "kind": "frequency_cap", "config": {"perDay": 1}},
        {"config": {"perDay": 2}},
        _flow(contactPolicies={"policyIds": ["x1"]}),
    ),
    KindCase("decision-flows", (), {"name": "Main"}, {"status": "active", "default": True}, None),
    KindCase("tenant-settings", (), {}, {"timeZone": "Europe/Berlin"}, None),
)

BY_KIND: Mapping[str, KindCase] = {case.kind: case for case in CASES}
