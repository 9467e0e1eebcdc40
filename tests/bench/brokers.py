"""The broker that a benchmark runs on: started for it, alone with it, gone after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.embedded import EmbeddedBroker
from tests.kafka.broker import Broker
from tests.kafka.cluster import KafkaCluster

KINDS = ("embedded", "kafka")

_NAMES = {
    "embedded": "embedded broker, in memory",
    "kafka": "Apache Kafka, one node, JVM limited to its C1 compiler",
}


@dataclass(frozen=True)
class Running:
    """A broker and its process."""

    broker: Broker
    pid: int

    @property
    def name(self) -> str:
        return _NAMES[self.broker.kind]


@contextmanager
def running(kind: str) -> Iterator[Running]:
    """Start a broker of a kind, end it afterwards."""
    if kind == "embedded":
        with EmbeddedBroker() as embedded:
            yield Running(Broker(embedded.bootstrap, "embedded"), embedded.pid or 0)
        return
    with KafkaCluster(nodes=1) as cluster:
        yield Running(Broker(cluster.bootstrap, "kafka"), cluster.pid(1))
