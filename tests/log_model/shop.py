"""The catalogue, the customers and the records of the model's tests."""

from __future__ import annotations

import json
from typing import Any

from app.decision.catalogue import CatalogSnapshot
from app.decision.validation import load_entity
from config.topics import changelog_topic, topic_names
from tables.layout import customer_key
from tables.routing import partition_of
from tests.log_model.log import Unwritten

TENANT = "shop"
APP_ID = "model"
PARTITIONS = 2
TOPICS = topic_names(APP_ID)
CHANGELOG = changelog_topic(APP_ID)

#: Contacts by push that a customer may ever have.
PUSHES = 3

_ENTITIES: list[tuple[str, dict[str, Any]]] = [
    ("categories", {"id": "cat", "name": "Music"}),
    ("channels", {"id": "web", "name": "Web", "type": "web"}),
    ("channels", {"id": "push", "name": "Push", "type": "push", "impressionTracking": "implicit"}),
    ("offers", {"id": "o1", "name": "Vinyl", "categoryId": "cat"}),
    ("creatives", {"id": "c1", "name": "Banner", "offerId": "o1", "channelId": "web"}),
    ("creatives", {"id": "c2", "name": "Ping", "offerId": "o1", "channelId": "push"}),
    *(
        ("behavioral-metrics", {"id": key, "key": key, "name": key, "aggregate": "count", "eventTypes": [of]})
        for key, of in (("n", "purchase"), ("clicks", "outcome.click"))
    ),
    (
        "contact-policies",
        {
            "id": "cap",
            "name": "Few pushes ever",
            "kind": "frequency_cap",
            "scopes": [{"scope": "channel", "id": "push"}],
            "config": {"total": PUSHES},
        },
    ),
    (
        "decision-flows",
        {"id": "flow", "name": "Flow", "status": "active", "default": True, "unknownCustomers": "allow"},
    ),
]


#: What pushes draw on.
PUSH_BUDGET = "creative/c2"


def snapshot(budget: int | None = None) -> CatalogSnapshot:
    """The catalogue, with a budget of so many pushes to all customers together."""
    changes = {}
    for kind, plain in _ENTITIES:
        body = {**plain, "budget": {"maxTotal": budget}} if budget and plain["id"] == "c2" else plain
        entity = load_entity(kind, body)
        assert not isinstance(entity, list), entity
        changes[kind, body["id"]] = entity
    return CatalogSnapshot().with_changes(TENANT, changes, 7)


def key_of(customer: str) -> bytes:
    return customer_key(TENANT, customer)


def home_of(customer: str) -> int:
    """The partition a customer belongs to."""
    return partition_of(key_of(customer), PARTITIONS)


def _two_at_home(number: int) -> list[str]:
    return [name for name in (f"C{i}" for i in range(30)) if home_of(name) == number][:2]


#: Two customers of each partition.
CUSTOMERS = [name for number in range(PARTITIONS) for name in _two_at_home(number)]


#: One more customer, who is erased now and then.
ERASABLE = "C-erasable"


def written(customer: str, timestamp: int, body: dict[str, Any]) -> Unwritten:
    """A record of a customer under its key."""
    value = json.dumps({"tenantId": TENANT, "customerId": customer, **body}).encode()
    return Unwritten(key_of(customer), value, (), timestamp)


def purchase(customer: str, timestamp: int, event_id: str | None) -> Unwritten:
    body: dict[str, Any] = {"type": "purchase", "data": {"amount": 1}}
    return written(customer, timestamp, body if event_id is None else {**body, "eventId": event_id})


def click(customer: str, timestamp: int, key: str) -> Unwritten:
    body = {"outcome": "click", "idempotencyKey": key, "creativeId": "c1"}
    return written(customer, timestamp, body)


def profile(customer: str, timestamp: int, number: int) -> Unwritten:
    return written(customer, timestamp, {"attributes": {"number": number}})


def erasure(customer: str, timestamp: int) -> Unwritten:
    return written(customer, timestamp, {"erase": True})
