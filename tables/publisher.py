"""Records to Kafka: by key or partition, acknowledged by all replicas that must hold them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownTopicOrPartitionError,
)

from config.topics import MESSAGE_MAX_BYTES
from tables.client_tasks import ClientEndedError, check_producer, stop_client
from tables.clients import started_producer
from tables.routing import partition_of

log = structlog.get_logger(__name__)

#: Kafka takes no more of a producer that met one of these. The third one comes once a topic partition can be
#: written again after it refused a batch for good: the client has counted that batch, Kafka has not.
CUT_OFF = (
    ProducerFenced,
    InvalidProducerEpoch,
    OutOfOrderSequenceNumber,
    InvalidProducerIdMapping,
    # Not Kafka's word: the client itself sends nothing more.
    ClientEndedError,
)

Headers = Sequence[tuple[str, bytes]]

#: Batches of several records aim at this size.
BATCH_BYTES = 512 * 1024


class Derived(msgspec.Struct, frozen=True, array_like=True):
    """A record to publish: `topic` is a name of `config.topics`. Stored in the outbox; append fields only."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class PublishError(Exception):
    """A record was not acknowledged. External, retryable.

    `certain` says that it is certainly not on Kafka; else it may be.
    """

    def __init__(self, message: str, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


class Publisher:
    """The worker's producer.

    Args:
        bootstrap: the brokers, each host:port.
        client_id: name in the broker's logs.
        topics: full topic names by their name in `config.topics`.
        partitions: of each customer topic.
        timeout_ms: how long an acknowledgement may take.
        idempotent: whether the broker removes duplicates of a retried send.
    """

    def __init__(
        self,
        bootstrap: Sequence[str],
        client_id: str,
        topics: dict[str, str],
        partitions: int,
        timeout_ms: int,
        idempotent: bool,
    ) -> None:
        self._topics = topics
        self._partitions = partitions
        self._timeout_s = timeout_ms / 1000
        self._order: dict[tuple[str, int], asyncio.Lock] = {}
        self._arguments = {
            "bootstrap_servers": list(bootstrap),
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": idempotent,
            "max_request_size": MESSAGE_MAX_BYTES,
            "max_batch_size": MESSAGE_MAX_BYTES - 64 * 1024,
            "linger_ms": 0,
            "request_timeout_ms": timeout_ms,
            "retry_backoff_ms": 50,
        }
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            aiokafka.errors.KafkaError: no broker answers.
        """
        self._producer = await started_producer(**self._arguments)

    async def stop(self) -> None:
        """Send what is buffered, then disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_client(producer)

    async def renew(self) -> None:
        """Go on with a new producer. One whose batch Kafka refused for good may write there no more.

        What the old one still holds is sent, if it can be.

        Raises:
            aiokafka.errors.KafkaError: no broker answers; the old one stays.
        """
        async with self._renewing:
            await self._renew()

    @property
    def ended(self) -> bool:
        """Whether the producer sends nothing more; the next record is sent with a new one."""
        return self._producer is not None and _error_of(self._producer) is not None

    async def _working(self, given: AIOKafkaProducer | None) -> AIOKafkaProducer:
        """The producer to send with: the given one, or our own, which is replaced when it has ended."""
        producer = given or self._producer
        if producer is None:
            raise PublishError("the producer is stopped", certain=True)
        error = _error_of(producer)
        if error is None:
            return producer
        if given is not None:
            raise PublishError(str(error), certain=True) from error
        log.error("the producer has ended, another takes its place", error=str(error))
        async with self._renewing:
            # Whoever waited here finds it done.
            if self._producer is producer:
                await self._replace()
        return await self._working(None)

    async def _replace(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._renew()
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"no new producer could be had: {error!r}", certain=True) from error

    async def _renew(self) -> None:
        fresh = await started_producer(**self._arguments)
        old, self._producer = self._producer, fresh
        if old is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await stop_client(old)

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        producer: AIOKafkaProducer | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """The offset of the record, once all replicas that must hold it do.

        Records of one partition are sent in the order of the calls.

        Args:
            topic: a name of `config.topics`.
            partition: by default murmur2 of the key.
            producer: another one to send with, the partition's own.
            timeout_s: how long to wait for room and then for the acknowledgement, when not as usual.

        Raises:
            PublishError: not acknowledged in time, or refused.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        producer = await self._working(producer)
        if partition is None:
            partition = partition_of(key or b"", self._partitions)
        order = self._order.setdefault((topic, partition), asyncio.Lock())
        try:
            async with asyncio.timeout(timeout_s), order:
                sent = await producer.send(
                    self._topics[topic], value, key, partition=partition, headers=list(headers)
                )
        except (MessageSizeTooLargeError, UnknownTopicOrPartitionError) as error:
            raise PublishError(f"{topic}: {error}", certain=True) from error
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"{topic}: not sent: {error!r}", certain=True) from error
        try:
            async with asyncio.timeout(timeout_s):
                metadata = await asyncio.shield(sent)
        except (KafkaError, TimeoutError) as error:
            sent.add_done_callback(_heard)
            # Also when it was fenced: that may be a second attempt, the first one's answer lost.
            raise PublishError(f"{topic}: not acknowledged: {error!r}", certain=False) from error
        return int(metadata.offset)

    async def publish_in_order(
        self, records: Sequence[Derived], producer: AIOKafkaProducer | None = None
    ) -> None:
        """Publish records of one topic partition as whole batches, one after the other.

        Args:
            records: at least one.
            producer: another one to send with, the partition's own.

        Raises:
            PublishError: a batch was not acknowledged; it and those after it must be sent again, in order.
        """
        await self.deliver(records, self._timeout_s, producer)

    async def deliver(
        self,
        records: Sequence[Derived],
        timeout_s: float | None,
        producer: AIOKafkaProducer | None = None,
        times_ms: Sequence[int] | None = None,
    ) -> None:
        """As `publish_in_order`, with a time-out of its own for each batch; without one it waits for ever.

        Args:
            times_ms: each record's time on Kafka, epoch ms; by default when it is sent.
        """
        producer = await self._working(producer)
        topic, partition = self._topics[records[0].topic], records[0].partition
        times: Sequence[int | None] = times_ms or [None] * len(records)
        waiting = deque(zip(records, times, strict=True))
        while waiting:
            builder = producer.create_batch()
            while waiting and (builder.record_count() == 0 or builder.size() < BATCH_BYTES):
                record, at_ms = waiting[0]
                appended = builder.append(
                    key=record.key, value=record.value, timestamp=at_ms, headers=list(record.headers)
                )
                if appended is None:
                    break
                waiting.popleft()
            try:
                async with asyncio.timeout(timeout_s):
                    await (await producer.send_batch(builder, topic, partition=partition))
            except (KafkaError, TimeoutError) as error:
                raise PublishError(
                    f"{topic} {partition}: not acknowledged: {error!r}", certain=False
                ) from error


def _error_of(producer: AIOKafkaProducer) -> ClientEndedError | None:
    """What a producer ended of; None for one that works."""
    try:
        check_producer(producer)
    except ClientEndedError as error:
        return error
    return None


def _heard(sent: asyncio.Future[Any]) -> None:
    """Nobody waits for this acknowledgement any more: what becomes of it is no news."""
    if not sent.cancelled():
        sent.exception()
