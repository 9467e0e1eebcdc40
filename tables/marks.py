"""Whether a topic is still the one that was folded.

A topic that was deleted and created again, or truncated, has other records at the offsets that the state
knows. Reading on at the position would skip all of them in silence. So the control record keeps a mark of the
last record folded of each topic, and a partition is taken only when that record is still there, or expired.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

from config.topics import SOURCE_TOPICS
from tables.clients import lone_consumer
from tables.control import Mark

#: A record that is there is read within this many polls, of a second each.
_POLLS = 10

_FETCH_WAIT_MS = 50


class TopicChangedError(Exception):
    """A topic is not the one that was folded. External; the partition stands still until it is mended."""

    def __init__(self, topic: str, what: str) -> None:
        super().__init__(
            f"{topic} {what}: it was re-created or truncated. Restore it, or give this state up: delete the "
            "changelog topic and the data folder"
        )


def mark_of(record: Any) -> Mark:
    """The mark of a consumer's record. It costs about 1 µs for a kilobyte."""
    checksum = zlib.crc32(record.value or b"", zlib.crc32(record.key or b""))
    return Mark(record.offset, record.timestamp, checksum)


class MarkReader:
    """Looks marked records up, outside any consumer group.

    Args:
        topics: full names of the customer topics, in their order.
        bootstrap: the brokers, each host:port.
    """

    def __init__(self, topics: Sequence[str], bootstrap: Sequence[str]) -> None:
        self._topics = topics
        self._bootstrap = list(bootstrap)

    async def check(
        self, partition: int, marks: Sequence[Mark | None], bounds: Mapping[int, tuple[int, int]]
    ) -> None:
        """Nothing, when every marked record that the topic keeps is the one that was folded.

        Args:
            marks: by topic.
            bounds: offsets of the first record kept and after the last one, by topic.

        Raises:
            TopicChangedError: one is not.
            aiokafka.errors.KafkaError: it cannot be told now.
        """
        wanted: dict[TopicPartition, tuple[int, Mark]] = {}
        for topic, mark in enumerate(marks):
            begin, end = bounds[topic]
            if mark is None or mark.offset < begin:
                continue
            if mark.offset >= end:
                raise TopicChangedError(
                    SOURCE_TOPICS[topic], f"ends at {end}, but was folded up to {mark.offset + 1}"
                )
            wanted[TopicPartition(self._topics[topic], partition)] = (topic, mark)
        if not wanted:
            return
        # A transaction open in a topic made anew must not keep its records from being compared.
        async with lone_consumer(self._bootstrap, _FETCH_WAIT_MS, committed=False) as consumer:
            await _compare(consumer, wanted)


async def _compare(consumer: AIOKafkaConsumer, wanted: dict[TopicPartition, tuple[int, Mark]]) -> None:
    consumer.assign(list(wanted))
    for tp, (_, mark) in wanted.items():
        consumer.seek(tp, mark.offset)
    for _ in range(_POLLS):
        for tp, records in (await consumer.getmany(timeout_ms=1_000, max_records=len(wanted))).items():
            topic, mark = wanted.pop(tp)
            if mark_of(records[0]) != mark:
                raise TopicChangedError(
                    SOURCE_TOPICS[topic], f"has another record at {mark.offset} than was folded"
                )
            consumer.pause(tp)
        if not wanted:
            return
    raise KafkaTimeoutError(f"the records before the positions of {', '.join(map(str, wanted))} did not come")
