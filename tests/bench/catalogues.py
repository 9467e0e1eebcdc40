"""The catalogues that are measured with: five metrics to fold, and offers by the hundred to decide on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Documents = dict[str, list[dict[str, Any]]]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def _metric(key: str, aggregate: str, window_ms: int | None, field: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": key,
        "key": key,
        "name": key,
        "aggregate": aggregate,
        "eventTypes": ["purchase"],
    }
    if window_ms is not None:
        body["windowMs"] = window_ms
    if field is not None:
        body["field"] = field
    return body


@dataclass(frozen=True)
class Catalogue:
    """Documents by kind, and what they are called in a report."""

    name: str
    documents: Documents

    @property
    def creatives(self) -> tuple[str, ...]:
        """The creatives that a response may name."""
        return tuple(body["id"] for body in self.documents["creatives"])


def from_file(path: Path) -> Catalogue:
    """A catalogue as people write it, in YAML."""
    body = yaml.safe_load(path.read_text())
    documents = {kind: bodies for kind, bodies in body.items() if isinstance(bodies, list)}
    return Catalogue(path.name, documents)


def generated(offers: int) -> Catalogue:
    """`shop` with so many offers."""
    return Catalogue(f"{offers:,} offers × 20 contact policies × 10 qualification rules", shop(offers))


#: Every event counts into all five.
METRICS: list[dict[str, Any]] = [
    _metric("purchases", "count", None),
    _metric("purchases-day", "count", _DAY_MS),
    _metric("spend-week", "sum", 7 * _DAY_MS, "data.amount"),
    _metric("spend-quarter", "sum", 90 * _DAY_MS, "data.amount"),
    _metric("cds", "sum", None, "data.cds"),
]


def metrics_only() -> Documents:
    """Five metrics and nothing else."""
    return {"behavioral-metrics": [dict(metric) for metric in METRICS]}


def shop(offers: int, policies: int = 20, rules: int = 10) -> Documents:
    """A shop of so many offers, each with a creative, all under so many contact policies and rules.

    Nobody is refused: every policy and rule is evaluated for every candidate, none removes one.
    """
    categories = max(1, min(10, offers // 10))
    return {
        "categories": [{"id": f"cat-{n}", "name": f"Category {n}"} for n in range(categories)],
        "channels": [{"id": "web", "name": "Web", "type": "web"}],
        "placements": [{"id": "hero", "name": "Hero", "channelId": "web", "maxSlots": 5}],
        "offers": [
            {
                "id": f"offer-{n}",
                "name": f"Offer {n}",
                "categoryId": f"cat-{n % categories}",
                "priority": n * 37 % 101,
                "weight": 50 + n % 51,
            }
            for n in range(offers)
        ],
        "creatives": [
            {
                "id": f"creative-{n}",
                "name": f"Creative {n}",
                "offerId": f"offer-{n}",
                "channelId": "web",
                "content": {
                    "headline": f"Offer {n} for {{{{ customer.firstName | you }}}}",
                    "url": f"/o/{n}",
                },
            }
            for n in range(offers)
        ],
        "behavioral-metrics": [dict(metric) for metric in METRICS],
        "qualification-rules": [_rule(n) for n in range(rules)],
        "contact-policies": [_policy(n, categories) for n in range(policies)],
        "decision-flows": [{"id": "main", "name": "Main", "status": "active", "default": True}],
    }


def _rule(number: int) -> dict[str, Any]:
    """A condition on the customer, on a metric and on the profile in turn."""
    conditions: list[tuple[str, dict[str, Any]]] = [
        ("attribute_condition", {"field": "customer.age", "operator": "gte", "value": 18}),
        ("metric_condition", {"field": "metrics.purchases", "operator": "gte", "value": 0}),
        ("attribute_condition", {"field": "customer.country", "operator": "in", "value": ["DE", "AT", "CH"]}),
    ]
    kind, config = conditions[number % len(conditions)]
    return {"id": f"rule-{number}", "name": f"Rule {number}", "kind": kind, "config": config}


def _policy(number: int, categories: int) -> dict[str, Any]:
    """Caps and cooldowns of all scopes in turn, none of which a benchmark's customer reaches."""
    body: dict[str, Any] = {"id": f"policy-{number}", "name": f"Policy {number}"}
    scope = [{"scope": "global"}, {"scope": "channel", "id": "web"}][number % 2]
    if number % 4 == 3:
        scope = {"scope": "category", "id": f"cat-{number % categories}"}
    if number % 5 == 4:
        return {**body, "kind": "cooldown", "scopes": [scope], "config": {"cooldownMs": 1}}
    caps = {"perDay": 900_000, "perWeek": 900_000 + number}
    return {**body, "kind": "frequency_cap", "scopes": [scope], "config": caps}
