"""What a contender's changelog says was counted: read from the beginning, latest value of each key.

Every engine compared keeps its state's changelog on the broker; summing it shows that all of them counted
all events, and that what they counted is durable.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import Consumer, TopicPartition

from tables.codec import load_customer
from tests.bench.contenders.purchase_metrics import purchases

#: The log has ended when nothing came for so long, in seconds: not every broker tells its end rightly.
_IDLE_S = 2.0


def latest(bootstrap: str, topic: str, partitions: int) -> dict[bytes, bytes]:
    """The latest value of each key of a compacted topic; deleted ones are left out."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-reader",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: dict[bytes, bytes] = {}
    try:
        while messages := consumer.consume(10_000, _IDLE_S):
            for message in messages:
                _take(found, message.key(), message.value())
    finally:
        consumer.close()
    return found


def _take(found: dict[bytes, bytes], key: str | bytes | None, value: str | bytes | None) -> None:
    if not isinstance(key, bytes):
        return
    if isinstance(value, bytes):
        found[key] = value
    else:
        found.pop(key, None)


def in_engine(values: Mapping[bytes, bytes]) -> float:
    """Purchases counted by this project's worker."""
    total = 0.0
    for key in values:
        if key.startswith(b"B"):
            customer = load_customer(key[1:], values.get)
            if customer is not None and "purchases" in customer.metrics:
                total += sum(customer.metrics["purchases"].buckets.values())
    return total


def in_contender(values: Mapping[bytes, bytes]) -> float:
    """Purchases counted by a contender that keeps `purchase_metrics` values."""
    return sum(purchases(value) for value in values.values())
