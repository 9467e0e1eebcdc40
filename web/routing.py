"""From a customer to the partition that answers for it.

Rules:

1.  A request is served by the owner of the customer's partition, and only while that is ready; any other
    worker sends it on to the owner (see `forwarding`), before anything of it is done.
2.  An answer from state holds only while the partition stays the one it was read from, and while the group
    has lately confirmed this worker. After every await, before answering: `Lease.check`.
3.  Decisions are published by the partition's own producer: one that was fenced cannot.
"""

from __future__ import annotations

from config.topics import DECISIONS
from tables.layout import customer_key
from tables.partition import Partition
from tables.publisher import Headers
from tables.routing import partition_of
from web.engine import Engine
from web.errors import not_ready
from web.forwarding import ElsewhereError


class Lease:
    """A ready partition and the customer key it was looked up for; good until its state is dropped."""

    __slots__ = ("_engine", "_store", "key", "partition")

    def __init__(self, engine: Engine, partition: Partition, key: bytes) -> None:
        self._engine = engine
        self._store = partition.store
        self.partition = partition
        self.key = key

    def holds(self) -> bool:
        """Whether this is still the state that was read: owned, ready, and not recovered in between."""
        partition = self.partition
        return (
            partition.ready
            and self._engine.lease_holds()
            and partition.store is self._store
            and self._engine.partitions.get(partition.number) is partition
        )

    def check(self) -> None:
        """Raises ApiError, 503 NOT_READY, when the partition stopped or moved since."""
        if not self.holds():
            raise not_ready("The customer's partition stopped or moved meanwhile; retry.")

    async def publish(
        self, topic: str, record: bytes, headers: Headers = (), patience_s: float | None = None
    ) -> None:
        """Publish a record of the customer. Nothing is awaited before the producer has it.

        `patience_s` is how long Kafka may take for it, when not as usual.

        Raises:
            PublishError: as of `Publisher.publish`.
        """
        own = self.partition.producer if topic == DECISIONS else None
        producer = None if own is None else own.kafka
        publisher, number = self._engine.publisher, self.partition.number
        await publisher.publish(topic, self.key, record, headers, number, producer, patience_s)


def lease_customer(engine: Engine, tenant_id: str, customer_id: str) -> Lease:
    """The customer's partition.

    Raises:
        ElsewhereError: it is not on this worker.
        ApiError: 503 NOT_READY when it is, and not ready.
    """
    key = customer_key(tenant_id, customer_id)
    return _lease(engine, partition_of(key, engine.settings.partitions), key)


def lease_partition(engine: Engine, number: int) -> Lease:
    """A partition by its number, for ids that carry it.

    Raises:
        ElsewhereError: it is not on this worker.
        ApiError: 503 NOT_READY when it is, and not ready.
    """
    return _lease(engine, number, b"")


def _lease(engine: Engine, number: int, key: bytes) -> Lease:
    partition = engine.partitions.get(number)
    if partition is None:
        raise ElsewhereError(number)
    if not partition.ready:
        raise not_ready(f"The customer's partition is {partition.phase.value}; retry.")
    if not engine.lease_holds():
        raise not_ready("This worker's membership in its group is not confirmed; retry.")
    return Lease(engine, partition, key)
