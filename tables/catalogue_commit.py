"""Writing an import so that readers see all of it or nothing.

On Kafka an import is one transaction. All writers of an application share its transactional id: a writer that
starts fences those before it, whose open transaction is aborted, so what it reads afterwards stays true until
it commits or is fenced itself. The embedded broker knows no transactions: there an import is one batch, which
is appended whole, and nothing fences writers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from config.settings import Settings
from config.topics import CATALOG, MESSAGE_MAX_BYTES, topic_names

log = structlog.get_logger(__name__)

#: (key, value), no value for a deletion.
Record = tuple[bytes, bytes | None]

#: Transactions go out in batches of this size.
BATCH_BYTES = 512 * 1024
#: A writer that dies in a transaction holds readers back for at most this long (and Kafka's own 10 s).
TRANSACTION_TIMEOUT_MS = 15_000
_BEGIN_TIMEOUT_S = 30.0
_WRITE_TIMEOUT_S = 15.0
_ABORT_TIMEOUT_S = 5.0
_BATCH_MAX_BYTES = MESSAGE_MAX_BYTES - 64 * 1024


class CatalogueWriteError(Exception):
    """An import was not acknowledged. External, retryable: importing again writes only what is missing.

    `certain` says that nothing of it was written; else it may hold all the same, whole.
    """

    def __init__(self, message: str, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain


class CatalogueConflictError(CatalogueWriteError):
    """Another writer began while this one was at work. Import again: the changes may differ now."""


class CatalogueCommit:
    """A connected writer; on Kafka the only one from here on."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, transactional: bool) -> None:
        self._producer = producer
        self._topic = topic
        self._transactional = transactional

    async def write(self, records: Sequence[Record]) -> int:
        """Write all of the records, at least one; the offset of the last.

        Raises:
            CatalogueConflictError: another writer has begun.
            CatalogueWriteError: not acknowledged.
        """
        batches = self._batches(records)
        try:
            if self._transactional:
                return await self._in_transaction(batches)
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                return await self._send(batches[0])
        except (KafkaError, TimeoutError) as error:
            raise CatalogueWriteError(f"the import was not acknowledged: {error!r}", certain=False) from error

    async def _in_transaction(self, batches: Sequence[BatchBuilder]) -> int:
        committing = False
        try:
            # The inner time-out leaves the outer one some time to abort, so that readers are not held back.
            async with asyncio.timeout(_WRITE_TIMEOUT_S + _ABORT_TIMEOUT_S), self._producer.transaction():
                async with asyncio.timeout(_WRITE_TIMEOUT_S):
                    offsets = [await self._send(batch) for batch in batches]
                committing = True
        except ProducerFenced as error:
            raise CatalogueConflictError(
                "another import has begun meanwhile: run this one again", certain=not committing
            ) from error
        except (KafkaError, TimeoutError) as error:
            raise CatalogueWriteError(
                f"the import was not acknowledged: {error!r}", certain=not committing
            ) from error
        return offsets[-1]

    async def _send(self, batch: BatchBuilder) -> int:
        """The offset of the batch's last record."""
        count = int(batch.record_count())
        sent = await self._producer.send_batch(batch, self._topic, partition=0)
        return int((await sent).offset) + count - 1

    def _batches(self, records: Sequence[Record]) -> list[BatchBuilder]:
        limit = BATCH_BYTES if self._transactional else _BATCH_MAX_BYTES
        batches: list[BatchBuilder] = []
        for key, value in records:
            if not batches or batches[-1].size() >= limit or not _append(batches[-1], key, value):
                batches.append(self._producer.create_batch())
                if not _append(batches[-1], key, value):
                    raise CatalogueWriteError(f"{key.decode()} is larger than a batch", certain=True)
        if len(batches) > 1 and not self._transactional:
            raise CatalogueWriteError(
                f"the import takes more than {_BATCH_MAX_BYTES} bytes, the most that the embedded broker "
                "takes as a whole: import it in parts, or use Apache Kafka",
                certain=True,
            )
        return batches


@asynccontextmanager
async def begin_commit(settings: Settings) -> AsyncIterator[CatalogueCommit]:
    """A writer. On Kafka those before it are fenced and what they had committed is on the topic.

    Raises:
        CatalogueWriteError: no broker answers, or it knows no transactions.
    """
    transactional = settings.idempotent_producer
    producer = AIOKafkaProducer(
        bootstrap_servers=list(settings.bootstrap_servers),
        client_id=f"{settings.app_id}-catalog-writer",
        acks="all",
        transactional_id=f"{settings.app_id}-catalog" if transactional else None,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        max_request_size=MESSAGE_MAX_BYTES,
        max_batch_size=_BATCH_MAX_BYTES,
        request_timeout_ms=settings.publish_timeout_ms,
    )
    try:
        try:
            async with asyncio.timeout(_BEGIN_TIMEOUT_S):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            hint = ""
            if transactional:
                hint = " (the embedded broker has no transactions: OFFERTIDE_IDEMPOTENT_PRODUCER=false there)"
            raise CatalogueWriteError(f"no import can begin: {error!r}{hint}", certain=True) from error
        yield CatalogueCommit(producer, topic_names(settings.app_id)[CATALOG], transactional)
    finally:
        await _stop(producer)


def _append(batch: BatchBuilder, key: bytes, value: bytes | None) -> bool:
    return batch.append(key=key, value=value, timestamp=None) is not None


async def _stop(producer: AIOKafkaProducer) -> None:
    """Disconnect. Without a broker the client would wait for one for ever."""
    try:
        async with asyncio.timeout(_ABORT_TIMEOUT_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        log.warning("the catalogue's producer did not stop in order", error=repr(error))
