"""Records as a consumer hands them over, and a partition to fold them into."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.folder import Folder
from app.decision.catalogue import CatalogSnapshot
from app.decision.fold import Clock
from app.decision.validation import load_entity
from config.metrics import Metrics, new_metrics
from config.topics import SOURCE_TOPICS
from tables.partition import Partition
from tables.routing import partition_of
from tables.store import PartitionStore, StoreMemory

PARTITIONS = 4
NOW_MS = 1_800_000_000_000
TENANT = "shop"

ENTITIES: list[tuple[str, dict[str, Any]]] = [
    ("categories", {"id": "cat", "name": "Music"}),
    ("channels", {"id": "web", "name": "Web", "type": "web"}),
    ("channels", {"id": "push", "name": "Push", "type": "push", "impressionTracking": "implicit"}),
    ("offers", {"id": "o1", "name": "Vinyl", "categoryId": "cat"}),
    ("creatives", {"id": "c1", "name": "Banner", "offerId": "o1", "channelId": "web"}),
    ("creatives", {"id": "c2", "name": "Ping", "offerId": "o1", "channelId": "push"}),
    (
        "behavioral-metrics",
        {"id": "n", "key": "n", "name": "n", "aggregate": "count", "eventTypes": ["purchase"]},
    ),
    (
        "behavioral-metrics",
        {
            "id": "spend",
            "key": "spend",
            "name": "s",
            "aggregate": "sum",
            "field": "data.amount",
            "windowMs": 7_776_000_000,
            "eventTypes": ["purchase"],
        },
    ),
    (
        "behavioral-metrics",
        {"id": "clicks", "key": "clicks", "name": "c", "aggregate": "count", "eventTypes": ["outcome.click"]},
    ),
]


def snapshot() -> CatalogSnapshot:
    changes = {}
    for kind, body in ENTITIES:
        entity = load_entity(kind, body)
        assert not isinstance(entity, list), entity
        changes[kind, body["id"]] = entity
    return CatalogSnapshot().with_changes(TENANT, changes, 7)


@dataclass
class Record:
    """One consumer record, as far as the fold looks."""

    key: bytes | None
    value: bytes | None
    offset: int
    partition: int
    timestamp: int = NOW_MS
    headers: tuple[tuple[str, bytes], ...] = ()


class Bench:
    """One partition, the one a customer belongs to, with its folder and next offsets."""

    def __init__(
        self,
        folder: Path,
        customer: str = "C1",
        metrics: Metrics | None = None,
        cache_customers: int = 1_000,
    ) -> None:
        self.customer = customer
        self.key = f"{TENANT}:{customer}".encode()
        number = partition_of(self.key, PARTITIONS)
        self.metrics = metrics or new_metrics()
        self.partition = Partition(number, cache_customers, 100, self.metrics)
        self.store = PartitionStore(folder / f"{number}.db", StoreMemory(8 << 20, 4 << 20))
        self.partition.attach(self.store)
        self.folder = Folder(self.partition, PARTITIONS, "me", self.metrics)
        self.clock = Clock(NOW_MS, snapshot())
        self.offsets = dict.fromkeys(SOURCE_TOPICS, 0)

    def record(self, topic: str, body: Mapping[str, Any] | bytes, **fields: Any) -> Record:
        value = (
            body
            if isinstance(body, bytes)
            else json.dumps({"tenantId": TENANT, "customerId": self.customer, **body}).encode()
        )
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        return Record(
            **{
                "key": self.key,
                "value": value,
                "offset": offset,
                "partition": self.partition.number,
                **fields,
            }
        )

    def fold(self, topic: str, body: Mapping[str, Any] | bytes, **fields: Any) -> Record:
        record = self.record(topic, body, **fields)
        self.again(topic, record)
        return record

    def again(self, topic: str, record: Record) -> None:
        index = SOURCE_TOPICS.index(topic)
        self.folder.fold(index, record, self.clock)
        self.partition.passed(index, record.offset, record.offset + 1, record)

    def write(self) -> None:
        """What the loop does once the changelog has the batch."""
        batch = self.partition.seal(self.clock.now_ms, self.clock.catalogue.version)
        count = len(batch.changes)
        first = self.store.offset + 1
        self.partition.written(batch, first, first + count - 1)

    def metric(self, name: str) -> float:
        customer = self.partition.customer(self.key)
        if customer is None or name not in customer.metrics:
            return 0.0
        return sum(customer.metrics[name].buckets.values())

    def derived(self) -> list[Any]:
        self.write()
        return [entry for _, entry in self.partition.outbox.waiting()]
