"""Two producers that disagree about partitions: aiokafka (murmur2) and librdkafka with its default (CRC32).

Each customer's purchases come from one of them, in order, as in life.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from aiokafka import AIOKafkaProducer

from app.demo.purchases import Purchase, event_of
from tables.layout import customer_key

Progress = Callable[[int], None]

#: How long the second producer may take to deliver all, in seconds.
DELIVERY_S = 60.0
_LOOK_EVERY_S = 0.2


class DeliveryError(RuntimeError):
    """Purchases did not reach Kafka."""


async def produce_purchases(
    bootstrap: str, topic: str, tenant_id: str, purchases: Sequence[Purchase], progress: Progress
) -> None:
    """Write all purchases: customers with even ids by aiokafka, the others by librdkafka.

    Args:
        progress: called with the number of purchases just sent.

    Raises:
        DeliveryError: some were not acknowledged.
    """
    even = [purchase for purchase in purchases if int(purchase.customer_id) % 2 == 0]
    odd = [purchase for purchase in purchases if int(purchase.customer_id) % 2]
    loop = asyncio.get_running_loop()

    def from_thread(count: int) -> None:
        loop.call_soon_threadsafe(progress, count)

    called_off = threading.Event()
    try:
        await asyncio.gather(
            _with_aiokafka(bootstrap, topic, tenant_id, even, progress),
            asyncio.to_thread(_with_librdkafka, bootstrap, topic, tenant_id, odd, from_thread, called_off),
        )
    finally:
        called_off.set()  # a thread cannot be cancelled, and the program would wait for it


async def _with_aiokafka(
    bootstrap: str, topic: str, tenant_id: str, purchases: Sequence[Purchase], progress: Progress
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    try:
        await producer.start()  # may be called off half-way, and has to be stopped then too
        waiting = []
        for purchase in purchases:
            key = customer_key(tenant_id, purchase.customer_id)
            waiting.append(await producer.send(topic, event_of(purchase, tenant_id), key))
            progress(1)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


def _with_librdkafka(
    bootstrap: str,
    topic: str,
    tenant_id: str,
    purchases: Sequence[Purchase],
    progress: Progress,
    called_off: threading.Event,
) -> None:
    from confluent_kafka import KafkaError, Message, Producer

    failed: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(str(error))

    # Its own words about lost connections would land between the demo's: only emergencies are printed.
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5, "log_level": 0})
    for purchase in purchases:
        if called_off.is_set():
            break
        key = customer_key(tenant_id, purchase.customer_id)
        producer.produce(topic, event_of(purchase, tenant_id), key, on_delivery=delivered)
        producer.poll(0)
        progress(1)
    deadline = time.monotonic() + DELIVERY_S
    while (left := producer.flush(_LOOK_EVERY_S)) and time.monotonic() < deadline:
        if called_off.is_set():
            producer.purge()
            return
    if left or failed:
        reason = failed[0] if failed else f"no answer in {DELIVERY_S:.0f} s"
        raise DeliveryError(f"{left + len(failed)} purchases did not reach Kafka: {reason}")
