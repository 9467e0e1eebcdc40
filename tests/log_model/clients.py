"""The Kafka client as far as the product uses it, on the model's log; its writes can be made to fail.

The product's own classes make these where they would make aiokafka's; the broker's name says which process
calls. So the order of a batch, the fence and the recovery rule that are tested are the product's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from tests.log_model.log import Epoch, Flight, Log, Place, Record, Unwritten

#: A client that hears nothing gives a write up after this long.
_GIVE_UP_S = 5.0


class Fault(Enum):
    """What becomes of a write."""

    REFUSED = "refused at once, certainly not written"
    LOST = "not written, and unknown to the client"
    UNHEARD = "written, and unknown to the client"
    LATE = "under way; it lands later, and with it what follows"
    DEAD_BEFORE = "the process dies before it is written"
    DEAD_AFTER = "the process dies after it is written, before it hears"


@dataclass
class Network:
    """One process's way to the log. `fault` happens to the write after `after` others of these topics."""

    name: str
    log: Log
    loop: Any
    dead: bool = False
    fault: Fault | None = None
    after: int = 0
    topics: tuple[str, ...] = ()
    refused: list[Place] = field(default_factory=list)

    def arm(self, fault: Fault, after: int, topics: tuple[str, ...]) -> None:
        self.fault, self.after, self.topics = fault, after, topics

    def _next_fault(self, topic: str) -> Fault | None:
        if self.fault is None or topic not in self.topics:
            return None
        if self.after > 0:
            self.after -= 1
            return None
        fault, self.fault = self.fault, None
        return fault

    def write(self, place: Place, records: Sequence[Unwritten], epoch: Epoch | None) -> asyncio.Future[int]:
        """The offset of the first record, once it is acknowledged.

        Raises:
            KafkaConnectionError: certainly not written.
        """
        fault = self._next_fault(place[0])
        if fault is Fault.REFUSED:
            raise KafkaConnectionError("no connection")
        flight = Flight(place, tuple(records), epoch, self.loop.create_future())
        key = (self.name, place)
        if self.dead or fault in (Fault.DEAD_BEFORE, Fault.DEAD_AFTER):
            if fault is Fault.DEAD_AFTER and not self.dead:
                self.log.land(flight)
            self.dead = True
            return self._unanswered()
        if fault in (Fault.LOST, Fault.UNHEARD):
            if fault is Fault.UNHEARD:
                self.log.land(flight)
            return self._failed()
        if fault is Fault.LATE or key in self.log.flights:
            self.log.flights.setdefault(key, []).append(flight)
            self.loop.call_later(_GIVE_UP_S, _give_up, flight.landed)
            return flight.landed
        self.log.land(flight)
        if flight.landed.exception() is not None:
            self.refused.append(place)
        return flight.landed

    def _unanswered(self) -> asyncio.Future[int]:
        never: asyncio.Future[int] = self.loop.create_future()
        return never

    def _failed(self) -> asyncio.Future[int]:
        failed: asyncio.Future[int] = self.loop.create_future()
        failed.set_exception(KafkaTimeoutError("no acknowledgement"))
        return failed


def _give_up(landed: asyncio.Future[int]) -> None:
    if not landed.done():
        landed.set_exception(KafkaTimeoutError("no acknowledgement"))
        landed.exception()


class _Builder:
    """A batch being filled."""

    def __init__(self) -> None:
        self.records: list[Unwritten] = []

    def append(
        self,
        *,
        key: bytes | None,
        value: bytes | None,
        timestamp: int | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> object:
        self.records.append(Unwritten(key, value, tuple(headers), timestamp or 0))
        return self

    def record_count(self) -> int:
        return len(self.records)

    def size(self) -> int:
        return sum(len(one.key or b"") + len(one.value or b"") for one in self.records)

    def close(self) -> None:
        pass


class Producer:
    """AIOKafkaProducer on the model's log."""

    def __init__(self, network: Network, transactional_id: str | None) -> None:
        self._network = network
        self._transactional_id = transactional_id
        self._epoch: Epoch | None = None
        self._txn_manager = SimpleNamespace(transactional_id=transactional_id, producer_epoch=0)
        # The tasks that aiokafka's lives by: this one needs none.
        self._sender = SimpleNamespace(sender_task=None)
        self.client = SimpleNamespace(_sync_task=None)

    async def start(self) -> None:
        if self._network.dead:
            await asyncio.Event().wait()
        if self._transactional_id is not None:
            self._epoch = self._network.log.initialise(self._transactional_id)
            self._txn_manager.producer_epoch = self._epoch[1]

    async def stop(self) -> None:
        pass

    def create_batch(self) -> _Builder:
        return _Builder()

    async def send_batch(self, builder: _Builder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        return self._send((topic, partition), builder.records)

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        partition: int,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[Any]:
        return self._send((topic, partition), [Unwritten(key, value, tuple(headers))])

    async def send_and_wait(self, topic: str, value: bytes, key: bytes, *, partition: int) -> Any:
        return await (await self.send(topic, value, key, partition=partition))

    def _send(self, place: Place, records: Sequence[Unwritten]) -> asyncio.Future[Any]:
        return asyncio.ensure_future(_metadata(self._network.write(place, records, self._epoch)))


async def _metadata(written: asyncio.Future[int]) -> Any:
    return SimpleNamespace(offset=await asyncio.shield(written))


class Consumer:
    """AIOKafkaConsumer on the model's log, outside any group."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        if self._network.dead:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        pass

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(places, 0)

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._network.log.at(*tp).begin for tp in places}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._network.log.at(*tp).end for tp in places}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        del self._positions[tp]

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        for tp in places or tuple(self._positions):
            partition = self._network.log.at(*tp)
            ahead = [record for record in partition.kept if record.offset >= self._positions[tp]]
            if ahead:
                found[tp] = ahead[:max_records]
            self._positions[tp] = ahead[max_records].offset if len(ahead) > max_records else partition.end
        return found


@contextmanager
def clients_on(networks: dict[str, Network]) -> Iterator[pytest.MonkeyPatch]:
    """While it lasts, the product's Kafka clients are the model's. `networks` are by broker."""

    def producer(*, bootstrap_servers: list[str], **arguments: Any) -> Producer:
        return Producer(networks[bootstrap_servers[0]], arguments.get("transactional_id"))

    def consumer(*, bootstrap_servers: list[str], **_: Any) -> Consumer:
        return Consumer(networks[bootstrap_servers[0]])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tables.clients.AIOKafkaProducer", producer)
        patch.setattr("tables.clients.CheckedConsumer", consumer)
        yield patch
