"""Reading the topic `catalog` from its beginning, with the certainty of having read all that was there.

Where the topic ends cannot be asked for on every broker, so a reader writes a record of its own, the barrier,
and has read everything committed before it once it meets it. On Kafka an open transaction holds readers back
until it ends; a writer that died in one delays them until its transaction times out.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from config.settings import Settings
from config.topics import CATALOG, topic_names
from tables.catalogue_log import CatalogueLog
from tables.catalogue_records import BARRIER
from tables.client_tasks import stop_client
from tables.clients import lone_consumer

log = structlog.get_logger(__name__)

#: Kafka answers a waiting fetch as soon as there is something; the embedded broker does not.
_FETCH_WAIT_MS = 500
_POLL_MS = 1_000
#: Decoded at once; between two such chunks others have their turn on the event loop.
_POLL_RECORDS = 250
#: Longest read to a barrier: more than the time-out of a dead writer's transaction.
READ_TIMEOUT_S = 60.0


class CatalogueReadError(Exception):
    """The topic could not be read up to now. External, retryable."""


class CatalogueFeed:
    """A consumer of the topic, standing at its beginning."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        self._settings = settings
        self._consumer = consumer
        self._partition = partition

    async def records(self) -> list[ConsumerRecord]:
        """The next records, none after a second without any.

        Raises:
            aiokafka.errors.KafkaError: the position is lost, or the client has ended: open another feed.
        """
        found = await self._consumer.getmany(self._partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        return list(found.get(self._partition, ()))

    async def write_barrier(self) -> bytes:
        """The key of a barrier that is on the topic now; raises as of the function of this name."""
        key = new_barrier()
        await write_barrier(self._settings, key)
        return key

    async def remove_barrier(self, key: bytes) -> None:
        """As of the function of this name."""
        await remove_barrier(self._settings, key)


def new_barrier() -> bytes:
    """The key of a barrier of one's own."""
    return BARRIER + uuid.uuid4().hex.encode()


async def write_barrier(settings: Settings, key: bytes) -> None:
    """Put a barrier on the topic.

    Raises:
        aiokafka.errors.KafkaError, TimeoutError: not acknowledged; it may be there all the same.
    """
    await _write(settings, key, b'{"v":1}')


async def remove_barrier(settings: Settings, key: bytes) -> None:
    """Take a barrier away again. One that stays harms nothing, so trouble is only logged."""
    try:
        await _write(settings, key, None)
    except (KafkaError, TimeoutError) as error:
        log.warning("a barrier stays on the catalogue's topic", key=key.decode(), error=repr(error))


async def _write(settings: Settings, key: bytes, value: bytes | None) -> None:
    timeout_ms = settings.publish_timeout_ms
    producer = AIOKafkaProducer(
        bootstrap_servers=list(settings.bootstrap_servers),
        client_id=f"{settings.app_id}-catalog-barrier",
        acks="all",
        request_timeout_ms=timeout_ms,
    )
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            await producer.start()
            await producer.send_and_wait(topic_names(settings.app_id)[CATALOG], value, key, partition=0)
    finally:
        await stop_client(producer)


@asynccontextmanager
async def open_feed(settings: Settings) -> AsyncIterator[CatalogueFeed]:
    """A feed at the beginning of the topic, which must exist.

    Raises:
        aiokafka.errors.KafkaError: no broker answers.
    """
    partition = TopicPartition(topic_names(settings.app_id)[CATALOG], 0)
    async with lone_consumer(
        settings.bootstrap_servers,
        _FETCH_WAIT_MS if settings.idempotent_producer else settings.fetch_wait_ms,
        client_id=f"{settings.app_id}-catalog",
        # A position that is gone means another topic than the one read so far: it must not go unnoticed.
        auto_offset_reset="none",
        retry_backoff_ms=100,
    ) as consumer:
        consumer.assign([partition])
        beginning = await consumer.beginning_offsets([partition])
        consumer.seek(partition, beginning[partition])
        yield CatalogueFeed(settings, consumer, partition)


async def read_to_now(settings: Settings, timeout_s: float = READ_TIMEOUT_S) -> CatalogueLog:
    """Everything that was committed when this was called.

    Args:
        settings: the brokers and the application; its topic must exist.
        timeout_s: longest wait for the barrier, in seconds.

    Raises:
        CatalogueReadError: the brokers did not answer, or a transaction is open for too long.
    """
    try:
        async with asyncio.timeout(timeout_s), open_feed(settings) as feed:
            barrier = await feed.write_barrier()
            read = CatalogueLog()
            while True:
                for record in await feed.records():
                    if record.key == barrier:
                        await feed.remove_barrier(barrier)
                        return read
                    read.apply(record.offset, record.key, record.value)
    except TimeoutError as error:
        raise CatalogueReadError(f"the catalogue was not read within {timeout_s:g} s") from error
    except KafkaError as error:
        raise CatalogueReadError(f"the catalogue cannot be read: {error!r}") from error
