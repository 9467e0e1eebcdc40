"""Plain aiokafka, in the few moves that broker tests need. Values are bytes; partition 0 unless said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

_FETCH_WAIT_MS = 20
_CONSUME_TIMEOUT_S = 20.0

Isolation = Literal["read_uncommitted", "read_committed"]


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def create_topic(bootstrap: str, topic: str, partitions: int = 1, replicas: int = 1) -> None:
    """Create a topic. Raises AssertionError with the broker's answer when it refuses."""
    async with admin(bootstrap) as client:
        answer = await client.create_topics([NewTopic(topic, partitions, replicas)])
    assert [error[1] for error in answer.topic_errors] == [0], answer


@asynccontextmanager
async def producer(bootstrap: str, **options: str | bool | int) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer that waits for all in-sync replicas."""
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def produce(bootstrap: str, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
    """Write the values in order and wait for each acknowledgement."""
    async with producer(bootstrap) as client:
        for value in values:
            await client.send_and_wait(topic, value, partition=partition)


async def consume(
    bootstrap: str, topic: str, count: int, isolation: Isolation = "read_uncommitted"
) -> list[bytes]:
    """The first ``count`` values of the topic. Raises TimeoutError when they do not come."""
    return [value for _, value in await consume_pairs(bootstrap, topic, count, isolation)]


async def consume_pairs(
    bootstrap: str, topic: str, count: int, isolation: Isolation = "read_uncommitted"
) -> list[tuple[bytes, bytes]]:
    """Keys and values of the first ``count`` records. Raises TimeoutError when they do not come."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level=isolation, fetch_max_wait_ms=_FETCH_WAIT_MS
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        async with asyncio.timeout(_CONSUME_TIMEOUT_S):
            records = [await consumer.getone() for _ in range(count)]
        return [(record.key, record.value) for record in records]
    finally:
        await consumer.stop()


async def end_offset(bootstrap: str, topic: str) -> int:
    """The offset after the last record, as the broker tells it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        return int((await consumer.end_offsets([partition]))[partition])
    finally:
        await consumer.stop()


async def consume_all(bootstrap: str, topic: str) -> list[bytes]:
    """The values that the topic holds now."""
    return await consume(bootstrap, topic, await end_offset(bootstrap, topic))
