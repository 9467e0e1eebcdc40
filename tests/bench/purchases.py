"""The events that everything is measured with: purchases, made from a seed, so that every run has the same.

An event is 130 to 160 bytes of JSON. Their own times rise over the hour before the run, as live traffic's
would. Customers are drawn evenly, or by Zipf's law: customer k with weight 1 / k**s.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from confluent_kafka import KafkaException, Producer

from tables.routing import partition_of

TENANT = "bench"
SEED = 20_240_229
_HOUR_MS = 3_600_000
_QUEUE = 200_000


@dataclass(frozen=True)
class Traffic:
    """So many purchases of so many customers; `zipf` is the exponent, 0 for evenly."""

    records: int
    customers: int
    zipf: float = 0.0
    with_ids: bool = False
    known: bool = False

    @property
    def before(self) -> int:
        """Events that come first and are not measured: with `known`, one of each customer."""
        return self.customers if self.known else 0

    @property
    def total(self) -> int:
        return self.before + self.records

    def __str__(self) -> str:
        spread = f"Zipf({self.zipf:g})" if self.zipf else "evenly"
        ids = ", each with an eventId" if self.with_ids else ""
        known = ", all in the store before" if self.known else ""
        return f"{self.records:,} purchases over {self.customers:,} customers{known}, {spread}{ids}"


@dataclass(frozen=True)
class Produced:
    """What lies in a topic: of how many customers, and the mean size of a record's value in bytes."""

    records: int
    customers: int
    mean_bytes: float


def customers(traffic: Traffic) -> list[int]:
    """The customer of each event, by number, the same for the same traffic."""
    chance = random.Random(SEED)
    before = list(range(traffic.before))
    if not traffic.zipf:
        return before + chance.choices(range(traffic.customers), k=traffic.records)
    weights = accumulate((k + 1) ** -traffic.zipf for k in range(traffic.customers))
    return before + chance.choices(range(traffic.customers), cum_weights=list(weights), k=traffic.records)


def rows(traffic: Traffic, end_ms: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each event; the last one happened at `end_ms`."""
    chance = random.Random(SEED + 1)
    step = _HOUR_MS / max(traffic.total, 1)
    for number, customer in enumerate(customers(traffic)):
        at = datetime.fromtimestamp((end_ms - _HOUR_MS + number * step) / 1000, UTC)
        name = f"C{customer:07d}"
        body = {
            "tenantId": TENANT,
            "customerId": name,
            "type": "purchase",
            "data": {"amount": chance.randrange(100, 20_000) / 100, "cds": chance.randrange(1, 5)},
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if traffic.with_ids:
            body["eventId"] = f"evt-{number:012d}"
        yield f"{TENANT}:{name}".encode(), json.dumps(body, separators=(",", ":")).encode()


def produce(bootstrap: str, topic: str, partitions: int, traffic: Traffic) -> Produced:
    """Write the traffic to a topic that exists, each record to its customer's partition.

    Raises:
        KafkaException: not all of it was acknowledged.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "linger.ms": 20,
            "batch.size": 262_144,
            "queue.buffering.max.messages": _QUEUE,
        }
    )
    place: dict[bytes, int] = {}
    size = 0
    for number, (key, value) in enumerate(rows(traffic, int(time.time() * 1000))):
        if key not in place:
            place[key] = partition_of(key, partitions)
        size += len(value)
        producer.produce(topic, value, key, place[key])
        if number % (_QUEUE // 4) == 0:
            producer.flush(60)
    left = producer.flush(60)
    if left:
        raise KafkaException(f"{left} of {traffic.total} records were not acknowledged")
    return Produced(traffic.total, len(place), size / max(traffic.total, 1))
