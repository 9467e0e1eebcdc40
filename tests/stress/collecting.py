"""Reading what a run left behind: topics, changelogs, stores.

Rules:

1.  Topics are read `read_committed` from their beginning to the end that they have when reading begins.
2.  The changelog is replayed key by key, by no code of the product; of a store at changelog offset n is
    expected what the replay holds after n.
3.  Stores are opened read-only, after their worker has ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from rocksdict import AccessType, Options, Rdict

from config.topics import DEAD_LETTERS, SOURCE_TOPICS, changelog_topic, topic_names
from tables.control import Control, decode_control
from tables.layout import CONTROL_KEY, FENCE_KEY
from tests.stress.evidence import Place, Record, Step, Store
from tests.stress.stage import APP_ID, PARTITIONS

TOPICS = (*SOURCE_TOPICS, DEAD_LETTERS)
_OFFSET_KEY, _FORMAT_KEY = b"!offset", b"!format"
#: A partition's last control record is among so many records from its end.
_TAIL = 2_000


async def _read(bootstrap: list[str], topics: Iterable[str], tail: int | None = None) -> AsyncIterator[Any]:
    """All records of some topics, full names, in the order of each partition; or the last `tail` of each."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
        consumer.assign(places)
        left = dict(ends)
        for place in places:
            consumer.seek(place, max(begins[place], ends[place] - tail) if tail else begins[place])
        while left:
            for place in list(left):
                if await consumer.position(place) >= left[place]:
                    del left[place]
            fetched = await consumer.getmany(timeout_ms=200, max_records=5_000)
            for place, records in fetched.items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record
    finally:
        await consumer.stop()


async def ends_of(bootstrap: list[str]) -> dict[Place, int]:
    """Where each partition of each topic ends."""
    names = topic_names(APP_ID)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        places = {
            TopicPartition(names[topic], number): (topic, number)
            for topic in TOPICS
            for number in range(PARTITIONS)
        }
        found = await consumer.end_offsets(list(places))
        return {places[place]: int(end) for place, end in found.items()}
    finally:
        await consumer.stop()


async def read_topics(bootstrap: list[str]) -> dict[Place, list[Record]]:
    """Every record of every topic but the changelog and the catalogue."""
    names = topic_names(APP_ID)
    short = {names[topic]: topic for topic in TOPICS}
    found: dict[Place, list[Record]] = defaultdict(list)
    async for record in _read(bootstrap, short):
        headers = dict(record.headers)
        found[short[record.topic], record.partition].append(
            Record(record.offset, record.key, record.value, record.timestamp, headers)
        )
    return dict(found)


async def last_controls(bootstrap: list[str]) -> dict[int, Control]:
    """The last control record of each partition."""
    found: dict[int, Control] = {}
    async for record in _read(bootstrap, [changelog_topic(APP_ID)], _TAIL):
        if record.key == CONTROL_KEY:
            found[record.partition] = decode_control(record.value)
    return found


class Replay:
    """The changelogs read from their beginning: the steps, and what stores must hold at given offsets."""

    def __init__(self) -> None:
        self.steps: dict[int, list[Step]] = defaultdict(list)
        self.holes: dict[int, int] = defaultdict(int)
        self._next: dict[int, int] = defaultdict(int)
        self._values: dict[int, dict[bytes, bytes]] = defaultdict(dict)

    async def run(self, bootstrap: list[str], stores: list[Store]) -> list[Store]:
        """Read everything; the stores with what is expected of each."""
        wanted = {(store.partition, store.offset) for store in stores}
        kept: dict[tuple[int, int], Mapping[bytes, bytes]] = {}
        async for record in _read(bootstrap, [changelog_topic(APP_ID)]):
            self._take(record)
            place = (record.partition, record.offset)
            if place in wanted:
                kept[place] = dict(self._values[record.partition])
        return [
            Store(one.name, one.partition, one.offset, one.values, kept.get((one.partition, one.offset)))
            for one in stores
        ]

    def _take(self, record: Any) -> None:
        number = record.partition
        if record.offset != self._next[number]:
            self.holes[number] += record.offset - self._next[number]
        self._next[number] = record.offset + 1
        if record.key == FENCE_KEY:
            return
        if record.value is None:
            self._values[number].pop(record.key, None)
            return
        self._values[number][record.key] = record.value
        if record.key == CONTROL_KEY:
            self.steps[number].append(step_of(record.offset, decode_control(record.value)))


def step_of(offset: int, control: Control) -> Step:
    """A control record in names."""
    folded = tuple((SOURCE_TOPICS[topic], first, end) for topic, first, end in control.folded)
    positions = dict(zip(SOURCE_TOPICS, control.positions, strict=True))
    return Step(offset, control.epoch, folded, positions)


def read_stores(folder: Path, name: str) -> list[Store]:
    """The stores anywhere in a worker's folder, whose worker has ended; `name` says whose they are."""
    paths = sorted(path for path in folder.rglob("*.db") if path.is_dir() and path.stem.isdigit())
    return [_read_store(path, f"{name} {path.relative_to(folder)}") for path in paths]


def _read_store(path: Path, name: str) -> Store:
    options = Options(raw_mode=True)
    database = Rdict(str(path), options=options, access_type=AccessType.read_only())
    try:
        values: dict[bytes, bytes] = {cast(bytes, key): value for key, value in database.items()}
    finally:
        database.close()
    offset = int(values.pop(_OFFSET_KEY, b"-1"))
    values.pop(_FORMAT_KEY, None)
    return Store(name, int(path.stem), offset, values)
