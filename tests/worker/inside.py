"""Workers in the test's own process, seen from within: their partitions, and what they have counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer

from app.worker import OffertideApp
from config.settings import Settings
from config.topics import DEAD_LETTERS, topic_names
from tables.layout import customer_key
from tables.partition import Partition
from tables.routing import partition_of
from tests.kafka.broker import Broker
from tests.worker.harness import eventually, produce_events
from tests.worker.shop import TENANT

PURCHASE = {"type": "purchase", "data": {"amount": 2.0}}


def owner(app: OffertideApp, customer: str) -> Partition:
    """The partition of a customer, which this worker must own."""
    number = partition_of(customer_key(TENANT, customer), app.settings.partitions)
    partition = app.partitions.get(number)
    assert partition is not None
    return partition


def purchases(app: OffertideApp, customer: str) -> float:
    """How many purchases the state counts; -1 while its store is closed."""
    partition = owner(app, customer)
    if partition.store is None:
        return -1.0
    found = partition.customer(customer_key(TENANT, customer))
    window = None if found is None else found.metrics.get("purchases")
    return 0.0 if window is None else sum(window.buckets.values())


async def counts(app: OffertideApp, customer: str, count: int) -> None:
    """Wait until a customer has so many purchases, and the partition is ready."""

    async def counted() -> bool:
        return purchases(app, customer) == count and owner(app, customer).ready

    await eventually(counted, 60, f"{customer} at {count}, is {purchases(app, customer)}")


async def written(app: OffertideApp, customer: str) -> bool:
    """Whether all that was folded of the customer's partition is in its store."""
    partition = owner(app, customer)
    return not partition.dirty and list(partition.control.positions) == partition.positions


def events(customer: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """So many purchases of a customer."""
    return ((customer, PURCHASE) for _ in range(count))


async def dead_letters(settings: Settings, count: int) -> list[bytes]:
    """The values of all dead letters, of which there must be `count`."""
    topic = topic_names(settings.app_id)[DEAD_LETTERS]
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[bytes] = []
        quiet = 0
        while quiet < 10 and len(found) <= count:
            records = [one for each in (await consumer.getmany(timeout_ms=200)).values() for one in each]
            found.extend(record.value for record in records)
            quiet = 0 if records or (len(found) < count and quiet < 9) else quiet + 1
        return found
    finally:
        await consumer.stop()


async def produce(settings: Settings, records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write events of customers of the shop to a worker's Kafka."""
    await produce_events(Broker(settings.broker, "kafka"), settings.app_id, records, TENANT)
