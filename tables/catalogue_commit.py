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
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder

from config.settings import Settings
from config.topics import AUDIT, CATALOG, MESSAGE_MAX_BYTES, topic_names

log = structlog.get_logger(__name__)

#: (key, value), no value for a deletion.
Record = tuple[bytes, bytes | None]

#: Transactions go out in batches of this size.
BATCH_BYTES = 512 * 1024
#: A writer that dies in a transaction holds readers back for at most this long (and Kafka's own 10 s).
TRANSACTION_TIMEOUT_MS = 15_000
_BEGIN_TIMEOUT_S = 30.0
#: Longest write, in seconds, unless a caller has less time.
WRITE_TIMEOUT_S = 15.0
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


class CatalogueTooLargeError(CatalogueWriteError):
    """An import, or one entity of it, that the brokers do not take. User; nothing was written."""


class CatalogueCommit:
    """A connected writer; on Kafka the only one from here on, until another begins.

    After an error it is of no use any more: close it and begin another.
    """

    def __init__(self, producer: AIOKafkaProducer, app_id: str, transactional: bool) -> None:
        self._producer = producer
        names = topic_names(app_id)
        self._topic, self._audit = names[CATALOG], names[AUDIT]
        self._transactional = transactional

    async def write(
        self, records: Sequence[Record], audit: Sequence[Record] = (), timeout_s: float = WRITE_TIMEOUT_S
    ) -> int:
        """Write all of the records, at least one, and their audit; the offset of the last record.

        Where there are no transactions the audit goes ahead: a crash in between leaves entries of a change
        that never was, and numbers that the next change uses again.

        Raises:
            CatalogueConflictError: another writer has begun.
            CatalogueWriteError: not acknowledged.
        """
        limit = BATCH_BYTES if self._transactional else _BATCH_MAX_BYTES
        batches, ahead = self._batches(records, limit), self._batches(audit, BATCH_BYTES)
        if self._transactional:
            return await self._in_transaction(batches, ahead, timeout_s)
        if len(batches) > 1:
            raise CatalogueTooLargeError(
                f"the import takes more than {_BATCH_MAX_BYTES} bytes, the most that the embedded broker "
                "takes as a whole: import it in parts, or use Apache Kafka",
                certain=True,
            )
        try:
            async with asyncio.timeout(timeout_s):
                for batch in ahead:
                    await (await self._producer.send_batch(batch, self._audit, partition=0))
                return await self._send((), batches)
        except (KafkaError, TimeoutError) as error:
            raise CatalogueWriteError(f"the import was not acknowledged: {error!r}", certain=False) from error

    async def close(self) -> None:
        """Disconnect. Without a broker the client would wait for one for ever."""
        try:
            async with asyncio.timeout(_ABORT_TIMEOUT_S):
                await self._producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("the catalogue's producer did not stop in order", error=repr(error))

    async def _in_transaction(
        self, batches: Sequence[BatchBuilder], ahead: Sequence[BatchBuilder], timeout_s: float
    ) -> int:
        committing = False
        try:
            # The inner time-out leaves the outer one some time to abort, so that readers are not held back.
            async with asyncio.timeout(timeout_s + _ABORT_TIMEOUT_S), self._producer.transaction():
                async with asyncio.timeout(timeout_s):
                    offset = await self._send(ahead, batches)
                committing = True
        except (ProducerFenced, IllegalOperation) as error:
            # The second is how the client refuses what follows a batch that was fenced.
            raise CatalogueConflictError(
                "another change of a catalogue has begun meanwhile: run this one again",
                certain=not committing,
            ) from error
        except (KafkaError, TimeoutError) as error:
            raise CatalogueWriteError(
                f"the import was not acknowledged: {error!r}", certain=not committing
            ) from error
        return offset

    async def _send(self, ahead: Sequence[BatchBuilder], batches: Sequence[BatchBuilder]) -> int:
        """The offset of the last record of the catalogue."""
        placed = [(batch, self._audit) for batch in ahead] + [(batch, self._topic) for batch in batches]
        last = int(batches[-1].record_count())
        sent = [await self._producer.send_batch(batch, topic, partition=0) for batch, topic in placed]
        return int((await asyncio.gather(*sent))[-1].offset) + last - 1

    def _batches(self, records: Sequence[Record], limit: int) -> list[BatchBuilder]:
        batches: list[BatchBuilder] = []
        for key, value in records:
            if not batches or batches[-1].size() >= limit or not _append(batches[-1], key, value):
                batches.append(self._producer.create_batch())
                if not _append(batches[-1], key, value):
                    raise CatalogueTooLargeError(f"{key.decode()} is larger than a batch", certain=True)
        return batches


async def started_commit(settings: Settings, timeout_s: float = _BEGIN_TIMEOUT_S) -> CatalogueCommit:
    """A writer; whoever asked for it closes it. On Kafka those before it are fenced.

    What they had committed is on the topics by then.

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
    commit = CatalogueCommit(producer, settings.app_id, transactional)
    try:
        async with asyncio.timeout(timeout_s):
            await producer.start()
    except (KafkaError, TimeoutError) as error:
        await commit.close()
        hint = ""
        if transactional:
            hint = " (the embedded broker has no transactions: OFFERTIDE_IDEMPOTENT_PRODUCER=false there)"
        raise CatalogueWriteError(f"no import can begin: {error!r}{hint}", certain=True) from error
    except BaseException:
        await commit.close()
        raise
    return commit


@asynccontextmanager
async def begin_commit(settings: Settings) -> AsyncIterator[CatalogueCommit]:
    """A writer as of `started_commit`, closed afterwards."""
    commit = await started_commit(settings)
    try:
        yield commit
    finally:
        await commit.close()


def _append(batch: BatchBuilder, key: bytes, value: bytes | None) -> bool:
    return batch.append(key=key, value=value, timestamp=None) is not None
