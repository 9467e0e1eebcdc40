"""A small catalogue for tests of whole workers."""

from __future__ import annotations

import json
from typing import Any

from app.provision import ensure_topics
from config.settings import Settings
from tables.catalogue_document import read_document
from tables.catalogue_writer import CatalogueWriter

TENANT = "shop"
DAY_MS = 86_400_000

DOCUMENT: dict[str, Any] = {
    "categories": [{"id": "music", "name": "Music"}],
    "channels": [
        {"id": "web", "name": "Web", "type": "web"},
        {"id": "push", "name": "Push", "type": "push", "impressionTracking": "implicit"},
    ],
    "placements": [{"id": "hero", "name": "Hero", "channelId": "web"}],
    "offers": [
        {"id": f"offer-{n}", "name": f"Offer {n}", "categoryId": "music", "priority": 90 - n}
        for n in range(5)
    ],
    "creatives": [
        {
            "id": f"{channel}-{n}",
            "name": f"{channel} {n}",
            "offerId": f"offer-{n}",
            "channelId": channel,
            "content": {"headline": "Hello {{ customer.firstName | friend }}"},
        }
        for n in range(5)
        for channel in ("web", "push")
    ],
    "behavioral-metrics": [
        {
            "id": "purchases",
            "key": "purchases",
            "name": "Purchases",
            "aggregate": "count",
            "eventTypes": ["purchase"],
        },
        {
            "id": "spend",
            "key": "spend",
            "name": "Spend in 90 days",
            "aggregate": "sum",
            "field": "data.amount",
            "eventTypes": ["purchase"],
            "windowMs": 90 * DAY_MS,
        },
        {
            "id": "clicks",
            "key": "clicks",
            "name": "Clicks",
            "aggregate": "count",
            "eventTypes": ["outcome.click"],
        },
    ],
    "contact-policies": [
        {
            "id": "push-cap",
            "name": "Three pushes a day",
            "kind": "frequency_cap",
            "scopes": [{"scope": "channel", "id": "push"}],
            "config": {"perDay": 3},
        },
        {
            "id": "web-cap",
            "name": "Two impressions of an offer a day",
            "kind": "frequency_cap",
            "scopes": [{"scope": "offer", "id": f"offer-{n}"} for n in range(5)],
            "config": {"perDay": 2, "channels": ["web"]},
        },
    ],
    "decision-flows": [{"id": "main", "name": "Main", "status": "active", "default": True}],
}


async def import_shop(settings: Settings, **changes: Any) -> None:
    """Create the topics and write the catalogue, `changes` replacing whole kinds."""
    await ensure_topics(settings)
    body = json.dumps({"tenant": TENANT, **DOCUMENT, **changes}).encode()
    await CatalogueWriter(settings).import_tenant(TENANT, read_document(body).entries, by="test")
