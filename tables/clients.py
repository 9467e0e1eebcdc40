"""Kafka clients as the tables use them: connected when handed over, closed when connecting fails."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer


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
        await producer.stop()
        raise
    return producer
