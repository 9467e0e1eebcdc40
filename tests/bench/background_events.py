"""Events at a constant rate while something else is measured."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer

from tables.routing import partition_of
from tests.bench.purchases import Traffic, rows

_TICK_S = 0.01
_ROUND = 20_000


@contextmanager
def events_at(bootstrap: str, topic: str, partitions: int, rate: int, customers: int) -> Iterator[None]:
    """Produce `rate` purchases a second, in the background, until the end of the block. 0 does nothing."""
    if not rate:
        yield
        return
    stop = threading.Event()
    traffic = Traffic(_ROUND, customers)
    made = [(key, value, partition_of(key, partitions)) for key, value in rows(traffic, _now_ms())]

    def run() -> None:
        producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all"})
        endless = itertools.cycle(made)
        begun, sent = time.monotonic(), 0
        while not stop.wait(_TICK_S):
            while sent < (time.monotonic() - begun) * rate:
                key, value, partition = next(endless)
                producer.produce(topic, value, key, partition)
                sent += 1
            producer.poll(0)
        producer.flush(10)

    thread = threading.Thread(target=run, name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(15)


def _now_ms() -> int:
    return int(time.time() * 1_000)
