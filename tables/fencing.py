"""The producer of one taking of one partition: what its owner before still sends is refused.

Rules:

1.  Kafka gives a transactional id one producer id and, at each initialisation, a higher epoch. A partition
    that has seen a write of one epoch refuses those of lower ones. So the producer takes a new epoch of the
    partition's id and first writes a fence record to the changelog and to `decisions`: behind these, nothing
    of an earlier owner ever lands, and what the topics hold before them is all there is to recover. On
    `scoreboard` the fence goes ahead of the first score, since nothing is recovered from there.
2.  It sends no transactions: the epoch is checked on every write of an idempotent producer. (A transaction
    for each batch took ten times as long, see ARCHITECTURE.md.)
3.  Whoever takes a new epoch fences the partition's owner. Only one whom the group has just confirmed may.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaProducer

from config.topics import MESSAGE_MAX_BYTES
from tables.client_tasks import ClientEndedError, check_producer, stop_client
from tables.clients import started_producer
from tables.layout import FENCE_KEY
from tables.publisher import CUT_OFF, PublishError

#: Nothing is ever open; the broker asks for a time-out all the same.
_TRANSACTION_TIMEOUT_MS = 60_000


class Fence(msgspec.Struct):
    """A fence record's value: which epoch of its partition begins here."""

    fence: int


class PartitionProducer:
    """Writes a partition's changelog and decisions. A new one for each taking.

    Args:
        bootstrap: the brokers, each host:port.
        transactional_id: the partition's; None where the broker knows no producer epochs, without a fence.
        timeout_ms: how long an acknowledgement may take.
    """

    def __init__(self, bootstrap: Sequence[str], transactional_id: str | None, timeout_ms: int) -> None:
        self._fenced = transactional_id is not None
        self._arguments = {
            "bootstrap_servers": list(bootstrap),
            "acks": "all",
            "enable_idempotence": self._fenced,
            "transactional_id": transactional_id,
            "transaction_timeout_ms": _TRANSACTION_TIMEOUT_MS,
            "max_request_size": MESSAGE_MAX_BYTES,
            "max_batch_size": MESSAGE_MAX_BYTES - 64 * 1024,
            "request_timeout_ms": timeout_ms,
            "retry_backoff_ms": 50,
        }
        self._producer: AIOKafkaProducer | None = None
        #: The epoch; 0 without a fence.
        self.epoch = 0

    @property
    def kafka(self) -> AIOKafkaProducer:
        """The producer, started.

        Raises:
            PublishError: it is stopped or has ended: certainly nothing is sent.
        """
        if self._producer is None:
            raise PublishError("the partition's producer is stopped", certain=True)
        try:
            check_producer(self._producer)
        except ClientEndedError as error:
            raise PublishError(f"the partition's producer: {error}", certain=True) from error
        return self._producer

    @property
    def fence_value(self) -> bytes | None:
        """What a fence record holds; None where there is no fence."""
        return msgspec.json.encode(Fence(self.epoch)) if self._fenced else None

    async def start(self) -> None:
        """Take a new epoch.

        Raises:
            aiokafka.errors.KafkaError: no broker gives one.
        """
        self._producer = producer = await started_producer(**self._arguments)
        if self._fenced:
            manager = producer._txn_manager
            self.epoch = int(manager.producer_epoch)
            # From here on a plain idempotent producer, with the id and epoch of the transactional one.
            manager.transactional_id = None

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_client(producer)

    async def fence(self, topic: str, partition: int) -> int:
        """Write a fence record; returns its offset.

        Raises:
            aiokafka.errors.ProducerFenced: another took a later epoch.
            aiokafka.errors.KafkaError: not acknowledged.
        """
        value = msgspec.json.encode(Fence(self.epoch))
        value = msgspec.json.encode(Fence(self.epoch))
        written = await self.kafka.send_and_wait(topic, value, FENCE_KEY, partition=partition)
        return int(written.offset)


def cut_off(error: PublishError) -> bool:
    """Whether its producer can write nothing there any more until the partition is taken anew."""
    return isinstance(error.__cause__, CUT_OFF)
