"""The topics: names, order, partition counts and configuration, in one place."""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = "events"
RESPONSES = "responses"
DECISIONS = "decisions"
PROFILES = "profiles"
#: Records that another client's partitioner put elsewhere, with their original coordinates.
REKEYED = "rekeyed"

#: Topics keyed by customer, all with the same partition count. The order is part of the stored format:
#: a watermark's place in a value is its topic's place here. Append only.
CUSTOMER_TOPICS: tuple[str, ...] = (EVENTS, RESPONSES, DECISIONS, PROFILES, REKEYED)

CATALOG = "catalog"
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True)
class TopicSpec:
    """One topic to create: its full name, partitions, replicas and broker settings."""

    name: str
    partitions: int
    replicas: int
    config: dict[str, str]
