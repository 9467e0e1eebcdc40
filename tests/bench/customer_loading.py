"""Customers with a profile and behaviour, folded by a worker before it is measured."""

from __future__ import annotations

import json

from confluent_kafka import Producer

from config.settings import Settings
from config.topics import EVENTS, PROFILES, topic_names
from tables.routing import partition_of
from tests.bench.purchases import TENANT, Traffic, produce

_COUNTRIES = ("DE", "AT", "CH")
_FLUSH_EVERY = 50_000


def load_customers(bootstrap: str, settings: Settings, customers: int) -> tuple[int, int]:
    """Write a profile for each customer and a purchase a customer on average; how many of each."""
    names = topic_names(settings.app_id)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "queue.buffering.max.messages": 200_000}
    )
    for number in range(customers):
        name = f"C{number:07d}"
        attributes = {"age": 18 + number % 60, "country": _COUNTRIES[number % 3], "firstName": f"Ann{number}"}
        body = {"tenantId": TENANT, "customerId": name, "attributes": attributes}
        key = f"{TENANT}:{name}".encode()
        producer.produce(
            names[PROFILES], json.dumps(body).encode(), key, partition_of(key, settings.partitions)
        )
        if number % _FLUSH_EVERY == 0:
            producer.flush(60)
    producer.flush(60)
    produce(bootstrap, names[EVENTS], settings.partitions, Traffic(customers, customers))
    return customers, customers
