"""Reading the topic `audit`: all of it in order, or the entries at some offsets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from config.settings import Settings
from config.topics import AUDIT, topic_names
from tables.audit_chain import Chains
from tables.clients import lone_consumer

_FETCH_WAIT_MS = 500
_POLL_MS = 1_000
#: Decoded at once; between two such chunks others have their turn.
_POLL_RECORDS = 200
#: Read in one go: entries no further apart than this.
_GAP = 100
#: Longest read of a page or of the next records of the whole, in seconds.
READ_TIMEOUT_S = 10.0


class AuditReadError(Exception):
    """The topic could not be read. External, retryable."""


class AuditFeed:
    """A consumer of the topic, standing at its beginning."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, end: int) -> None:
        self._consumer = consumer
        self._partition = partition
        self._end = end

    async def records(self) -> list[ConsumerRecord]:
        """The next records, none after a second without any."""
        found = await self._consumer.getmany(self._partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        return list(found.get(self._partition, ()))

    async def at_end(self) -> bool:
        """Whether all is read that was there when the feed was opened."""
        return int(await self._consumer.position(self._partition)) >= self._end

    async def between(self, first: int, last: int) -> AsyncIterator[ConsumerRecord]:
        """The records from the first to the last offset, which exist."""
        self._consumer.seek(self._partition, first)
        while True:
            for record in await self.records():
                if record.offset <= last:
                    yield record
                if record.offset >= last:
                    return


@asynccontextmanager
async def open_audit(settings: Settings, fetch_bytes: int = 1024**2) -> AsyncIterator[AuditFeed]:
    """A feed at the beginning of the topic, which must exist.

    Raises:
        aiokafka.errors.KafkaError: no broker answers.
    """
    partition = TopicPartition(topic_names(settings.app_id)[AUDIT], 0)
    wait_ms = _FETCH_WAIT_MS if settings.idempotent_producer else settings.fetch_wait_ms
    async with lone_consumer(
        settings.bootstrap_servers,
        wait_ms,
        client_id=f"{settings.app_id}-audit",
        max_partition_fetch_bytes=fetch_bytes,
        retry_backoff_ms=100,
    ) as consumer:
        consumer.assign([partition])
        ends = await consumer.end_offsets([partition])
        beginnings = await consumer.beginning_offsets([partition])
        consumer.seek(partition, beginnings[partition])
        yield AuditFeed(consumer, partition, ends[partition])


class AuditTrail:
    """All that was on the topic, checked."""

    def __init__(self) -> None:
        self.chains = Chains()
        self.entries: list[dict[str, Any]] = []

    @property
    def problem(self) -> str | None:
        """What is wrong with which tenants; None when all chains hold."""
        return self.chains.problem


async def entries_to_now(settings: Settings, chains: Chains) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Each tenant and entry that was there at the beginning, in order; `chains` follows them.

    Raises:
        AuditReadError: the brokers do not answer.
    """
    try:
        async with open_audit(settings) as feed:
            while not await feed.at_end():
                async with asyncio.timeout(READ_TIMEOUT_S):
                    records = await feed.records()
                for record in records:
                    tenant_id, entry = chains.take(record.key, record.value)
                    if entry is not None:
                        yield tenant_id, entry
    except (KafkaError, OSError, TimeoutError) as error:
        raise AuditReadError(f"the audit trail cannot be read: {error!r}") from error


async def read_audit(settings: Settings) -> AuditTrail:
    """All of it, in memory; raises as of `entries_to_now`."""
    trail = AuditTrail()
    async for _, entry in entries_to_now(settings, trail.chains):
        trail.entries.append(entry)
    return trail


async def read_entries(settings: Settings, offsets: Sequence[int]) -> list[bytes]:
    """The values at these offsets, in their order.

    Raises:
        AuditReadError: the brokers did not answer in time.
    """
    found: dict[int, bytes] = {}
    try:
        async with asyncio.timeout(READ_TIMEOUT_S), open_audit(settings, fetch_bytes=256 * 1024) as feed:
            for first, last in _runs(sorted(offsets)):
                async for record in feed.between(first, last):
                    found[record.offset] = record.value or b"null"
    except (KafkaError, OSError, TimeoutError) as error:
        raise AuditReadError(f"the audit trail cannot be read: {error!r}") from error
    return [found[offset] for offset in offsets if offset in found]


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last offsets of what is read in one go."""
    first = last = -1
    for offset in offsets:
        if first >= 0 and offset - last > _GAP:
            yield first, last
            first = offset
        elif first < 0:
            first = offset
        last = offset
    if first >= 0:
        yield first, last
