"""A stand-in for Kafka's log: topic partitions, producer epochs, compaction, and writes that land late.

Rules:

1.  A transactional id has one producer; each initialisation gives it a higher epoch. A partition refuses an
    epoch of it lower than one it has seen *there*: an old owner's write lands until the new one has written.
2.  Compaction cleans a prefix: of the records before it each key's last stays. A tombstone goes once
    `RETENTION_MS` have passed since a compaction first kept it. Offsets never change.
3.  `history` keeps what compaction removed, for the checks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.errors import ProducerFenced

from config.topics import DELETE_RETENTION_MS

#: How long a tombstone stays after a compaction kept it.
RETENTION_MS = DELETE_RETENTION_MS

Place = tuple[str, int]

#: Whose producer, and which initialisation of it.
Epoch = tuple[str, int]


@dataclass(frozen=True)
class Record:
    """One record, as a consumer hands it over."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    partition: int

    @property
    def size(self) -> int:
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True)
class Unwritten:
    """A record before it has an offset."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0


@dataclass
class Flight:
    """A batch that a client handed over and that has not landed."""

    place: Place
    records: Sequence[Unwritten]
    epoch: Epoch | None
    landed: asyncio.Future[int]


class LogPartition:
    """One topic partition."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.history: list[Record] = []
        self.kept: list[Record] = []
        self.epochs: dict[str, int] = {}
        self._tombstones: dict[int, int] = {}

    @property
    def end(self) -> int:
        return len(self.history)

    @property
    def begin(self) -> int:
        return self.kept[0].offset if self.kept else self.end

    def append(self, records: Sequence[Unwritten], epoch: Epoch | None) -> int:
        """The offset of the first; they land together or not at all.

        Raises:
            ProducerFenced: this partition has seen a higher epoch.
        """
        if epoch is not None:
            name, number = epoch
            if number < self.epochs.get(name, -1):
                raise ProducerFenced()
            self.epochs[name] = number
        base = self.end
        for one in records:
            record = Record(self.end, one.key, one.value, one.headers, one.timestamp, self.number)
            self.history.append(record)
            self.kept.append(record)
        return base

    def compact(self, before: int, now_ms: int) -> None:
        """Clean the records with offsets below `before`."""
        last = {record.key: record.offset for record in self.kept if record.offset < before}
        kept = []
        for record in self.kept:
            if record.offset < before:
                if last[record.key] != record.offset:
                    continue
                if record.value is None:
                    first_kept_ms = self._tombstones.setdefault(record.offset, now_ms)
                    if now_ms - first_kept_ms >= RETENTION_MS:
                        continue
            kept.append(record)
        self.kept = kept

    def values(self) -> dict[bytes, bytes]:
        """The last value of each key, whatever a control record says of it."""
        found = {record.key or b"": record.value for record in self.kept}
        return {key: value for key, value in found.items() if value is not None}


class Log:
    """All topics, by full name and partition."""

    def __init__(self) -> None:
        self._partitions: dict[Place, LogPartition] = {}
        self._epochs: dict[str, int] = defaultdict(int)
        #: What has not landed, by client and place, in the order it was sent.
        self.flights: dict[tuple[str, Place], list[Flight]] = {}

    def at(self, topic: str, partition: int) -> LogPartition:
        place = (topic, partition)
        if place not in self._partitions:
            self._partitions[place] = LogPartition(partition)
        return self._partitions[place]

    def initialise(self, transactional_id: str) -> Epoch:
        """A new epoch."""
        self._epochs[transactional_id] += 1
        return transactional_id, self._epochs[transactional_id]

    def land(self, flight: Flight) -> None:
        """Append what was under way, and tell who still waits for it."""
        try:
            base = self.at(*flight.place).append(flight.records, flight.epoch)
        except ProducerFenced as error:
            if not flight.landed.done():
                flight.landed.set_exception(error)
                flight.landed.exception()
            return
        if not flight.landed.done():
            flight.landed.set_result(base)

    def land_late(self, client: str, place: Place) -> None:
        """What a client has under way to a place arrives, in order."""
        for flight in self.flights.pop((client, place), []):
            self.land(flight)

    def lose_flights(self, client: str, keep: int) -> None:
        """The client's process is gone: of what it had under way to each place, only the first may arrive."""
        for key in [key for key in self.flights if key[0] == client]:
            del self.flights[key][keep:]
            if not self.flights[key]:
                del self.flights[key]
