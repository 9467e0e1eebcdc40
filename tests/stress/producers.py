"""What other programs write to Kafka: right, twice, in the wrong place, and wrong.

Rules:

1.  `exact` puts records where they belong, sends some twice with the same event id, some long after.
2.  `crc32` partitions as librdkafka does by default, so that most records must be re-keyed.
3.  `stray` writes to a partition picked at random, sometimes without a key or with another customer's.
4.  `wrong` writes what can only become a dead letter. Each has a nonce behind BAD, in value or key.
5.  `direct` writes responses and profile writes without HTTP.
6.  Producers are idempotent; what is not acknowledged may be there or not, the topic says.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from config.topics import EVENTS, PROFILES, RESPONSES, topic_names
from tables.routing import partition_of
from tests.stress.catalogue import OFFERS, TENANT
from tests.stress.history import History
from tests.stress.stage import APP_ID, PARTITIONS

#: In the bytes of every record that is made wrong on purpose.
BAD = b"made-bad-"

Message = tuple[str, bytes | None, bytes, int]
"""Topic (its short name), key, value, partition."""


def key_of(customer: str) -> bytes:
    """The record key of a customer."""
    return f"{TENANT}:{customer}".encode()


class Producers:
    """All outside producers of one run.

    Args:
        bootstrap: the nodes, directly.
        rate: records a second of all together.
    """

    def __init__(
        self, bootstrap: list[str], history: History, customers: list[str], rate: float, dice: random.Random
    ) -> None:
        self._bootstrap = bootstrap
        self._history = history
        self._customers = customers
        self._rate = rate
        self._dice = dice
        self._names = topic_names(APP_ID)
        self._sent: deque[tuple[str, bytes]] = deque(maxlen=200)

    async def run(self, until_s: float) -> None:
        """Produce until a moment of the monotonic clock, then wait for what is on its way."""
        shares: dict[Callable[[], Message], float] = {
            self._exact: 0.5,
            self._crc32: 0.2,
            self._stray: 0.12,
            self._direct: 0.12,
            self._wrong: 0.06,
        }
        async with asyncio.TaskGroup() as group:
            for make, share in shares.items():
                group.create_task(self._produce(make, share * self._rate, until_s))

    async def _produce(self, make: Callable[[], Message], rate: float, until_s: float) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
        )
        await producer.start()
        sending: set[asyncio.Task[None]] = set()
        due_s = time.monotonic()
        try:
            while time.monotonic() < until_s:
                task = asyncio.create_task(self._send(producer, make()))
                sending.add(task)
                task.add_done_callback(sending.discard)
                due_s = max(due_s + self._dice.expovariate(rate), time.monotonic() - 1.0)
                await asyncio.sleep(max(due_s - time.monotonic(), 0))
            if sending:
                await asyncio.wait(sending, timeout=30)
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer, message: Message) -> None:
        topic, key, value, partition = message
        request = {
            "topic": topic,
            "partition": partition,
            "key": None if key is None else key.hex(),
            "value": value.hex(),
        }
        op = self._history.begin("produce", "", -1, request)
        try:
            written = await producer.send_and_wait(self._names[topic], value, key, partition)
        except (KafkaError, asyncio.CancelledError) as error:
            self._history.end(op, 0, error=repr(error))
            return
        self._history.end(op, 200, {"partition": written.partition, "offset": written.offset})

    def _event(self, customer: str) -> bytes:
        event: dict[str, Any] = {
            "tenantId": TENANT,
            "customerId": customer,
            "type": self._dice.choice(("purchase", "page_view")),
            "data": {"amount": self._dice.randint(1, 40) / 4},
        }
        if self._dice.random() < 0.9:
            event["eventId"] = f"p{self._dice.getrandbits(48):x}"
        return json.dumps(event).encode()

    def _exact(self) -> Message:
        if self._sent and self._dice.random() < 0.2:
            customer, value = self._dice.choice(self._sent)
            if b"eventId" not in value:
                value = self._event(customer)
        else:
            customer = self._dice.choice(self._customers)
            value = self._event(customer)
            self._sent.append((customer, value))
        key = key_of(customer)
        return EVENTS, key, value, partition_of(key, PARTITIONS)

    def _crc32(self) -> Message:
        customer = self._dice.choice(self._customers)
        key = key_of(customer)
        return EVENTS, key, self._event(customer), zlib.crc32(key) % PARTITIONS

    def _stray(self) -> Message:
        customer = self._dice.choice(self._customers)
        key: bytes | None = self._dice.choice(
            (key_of(customer), None, key_of(self._dice.choice(self._customers)))
        )
        return EVENTS, key, self._event(customer), self._dice.randrange(PARTITIONS)

    def _direct(self) -> Message:
        customer = self._dice.choice(self._customers)
        key = key_of(customer)
        body: dict[str, Any] = {"tenantId": TENANT, "customerId": customer}
        if self._dice.random() < 0.5:
            topic = RESPONSES
            channel, offer = self._dice.choice(("web", "push")), self._dice.choice(OFFERS)
            body |= {"creativeId": f"{channel}-{offer}", "outcome": "click"}
            body |= {"idempotencyKey": f"d{self._dice.getrandbits(48):x}"}
        else:
            topic = PROFILES
            body |= {"attributes": {"c": self._dice.randrange(1 << 30)}}
        return topic, key, json.dumps(body).encode(), partition_of(key, PARTITIONS)

    def _wrong(self) -> Message:
        customer = self._dice.choice(self._customers)
        nonce = BAD.decode() + f"{self._dice.getrandbits(48):x}"
        whose: dict[str, Any] = {"tenantId": TENANT, "customerId": customer, "nonce": nonce}
        topic, value = self._dice.choice(
            (
                (EVENTS, f"{{not json {nonce}".encode()),
                (EVENTS, b"\xff\xfe" + nonce.encode()),
                (EVENTS, json.dumps({"tenantId": TENANT, "type": "purchase", "nonce": nonce}).encode()),
                (EVENTS, json.dumps({**whose, "type": "purchase", "tenantId": "NOT A TENANT"}).encode()),
                (
                    EVENTS,
                    json.dumps({**whose, "type": "purchase", "timestamp": "2099-01-01T00:00:00Z"}).encode(),
                ),
                (RESPONSES, json.dumps({**whose, "outcome": "click"}).encode()),
                (PROFILES, json.dumps({**whose, "consent": {"push": "maybe"}}).encode()),
            )
        )
        key = key_of(customer)
        return topic, key, value, partition_of(key, PARTITIONS)
