"""Kafka clients as the tables use them: connected when handed over, closed when connecting fails, and never
waited for when they have ended by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from config.topics import MESSAGE_MAX_BYTES
from tables.client_tasks import check_consumer, stop_client


async def started_producer(**arguments: Any) -> AIOKafkaProducer:
    """A producer that is connected; whoever asked for it stops it.

    Args:
        arguments: as of `aiokafka.AIOKafkaProducer`.

    Raises:
        aiokafka.errors.KafkaError: no broker answers, or it gives no producer id.
    """
    producer = AIOKafkaProducer(**arguments)
    try:
        await producer.start()
    except BaseException:
        # Also when it was called off half-way: nobody else knows of what is open by then.
        await stop_client(producer)
        raise
    return producer


class CheckedConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer that raises when it has ended, where aiokafka's own says for ever that nothing came."""

    async def getmany(self, *partitions: Any, **arguments: Any) -> Any:
        """As of aiokafka.

        Raises:
            tables.client_tasks.ClientEndedError: it reads nothing more; open another.
        """
        check_consumer(self)
        return await super().getmany(*partitions, **arguments)


@asynccontextmanager
async def lone_consumer(
    bootstrap: Sequence[str],
    fetch_wait_ms: int,
    fetch_bytes: int = 1,
    committed: bool = True,
    **arguments: Any,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer outside any group, connected; partitions and positions are the reader's to set.

    Args:
        bootstrap: the brokers, each host:port.
        fetch_wait_ms: how long a fetch waits at the broker for `fetch_bytes`.
        fetch_bytes: what a fetch waits for.
        committed: whether records of open and aborted transactions are left out.
        arguments: as of `aiokafka.AIOKafkaConsumer`, before what is set here.

    Raises:
        aiokafka.errors.KafkaError: no broker answers.
    """
    usual: dict[str, Any] = {
        "group_id": None,
        "enable_auto_commit": False,
        "isolation_level": "read_committed" if committed else "read_uncommitted",
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": MESSAGE_MAX_BYTES,
        "fetch_max_wait_ms": fetch_wait_ms,
        "fetch_min_bytes": fetch_bytes,
    }
    consumer = CheckedConsumer(bootstrap_servers=list(bootstrap), **usual | arguments)
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_client(consumer)
