"""The catalogue of a stress run, and how it changes meanwhile: priorities and texts, never a cap.

Rules:

1.  Caps have windows of less than a minute, so that they are reached, hold, and open again in a short run.
2.  What the checker needs to know of the catalogue is said here once, as plain numbers, and checked against
    nothing of the product.
"""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from tables.catalogue_document import read_document
from tables.catalogue_writer import CatalogueWriter

TENANT = "shop"
OFFERS = tuple(f"offer-{n}" for n in range(5))
METRICS = ("purchases", "spend", "clicks")


@dataclass(frozen=True)
class Cap:
    """At most `most` contacts in any `window_ms`; a contact counts while it is younger."""

    most: int
    window_ms: int


#: Of all decisions on push, which are contacts themselves.
PUSH_CAPS = (Cap(3, 40_000), Cap(25, 3_600_000))
#: Of the impressions of each offer on web.
WEB_CAP = Cap(2, 30_000)

_DOCUMENT: dict[str, Any] = {
    "categories": [{"id": "music", "name": "Music"}],
    "channels": [
        {"id": "web", "name": "Web", "type": "web"},
        {"id": "push", "name": "Push", "type": "push", "impressionTracking": "implicit"},
    ],
    "offers": [
        {"id": offer, "name": offer, "categoryId": "music", "priority": 90 - n}
        for n, offer in enumerate(OFFERS)
    ],
    "creatives": [
        {
            "id": f"{channel}-{offer}",
            "name": f"{channel} {offer}",
            "offerId": offer,
            "channelId": channel,
            "content": {"headline": "Hello {{ customer.a | friend }}"},
        }
        for offer in OFFERS
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
            "name": "Spend",
            "aggregate": "sum",
            "field": "data.amount",
            "eventTypes": ["purchase"],
            "windowMs": 90 * 86_400_000,
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
            "id": f"push-cap-{n}",
            "name": f"Push cap {n}",
            "kind": "frequency_cap",
            "scopes": [{"scope": "channel", "id": "push"}],
            "config": {"max": cap.most, "windowMs": cap.window_ms},
        }
        for n, cap in enumerate(PUSH_CAPS)
    ]
    + [
        {
            "id": "web-cap",
            "name": "Impressions of an offer on web",
            "kind": "frequency_cap",
            "scopes": [{"scope": "offer", "id": offer} for offer in OFFERS],
            "config": {"max": WEB_CAP.most, "windowMs": WEB_CAP.window_ms, "channels": ["web"]},
        }
    ],
    "decision-flows": [{"id": "main", "name": "Main", "status": "active", "default": True}],
}


def changed(dice: random.Random) -> dict[str, Any]:
    """The document with other priorities and texts."""
    document = copy.deepcopy(_DOCUMENT)
    for offer in document["offers"]:
        offer["priority"] = dice.randint(1, 100)
    for creative in document["creatives"]:
        creative["content"]["headline"] = f"Hello {dice.randrange(1_000_000)}"
    return document


async def import_catalogue(settings: Settings, document: dict[str, Any] | None = None) -> None:
    """Write the catalogue, as `offertide catalog import` does. The topic must exist.

    Raises:
        Exception: as of `CatalogueWriter.import_tenant`.
    """
    body = json.dumps({"tenant": TENANT, **(document or _DOCUMENT)}).encode()
    await CatalogueWriter(settings).import_tenant(TENANT, read_document(body).entries, by="stress")
