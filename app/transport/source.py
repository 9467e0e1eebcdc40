"""The consumer as the partitions' source, and the partitions' positions as the consumer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import faust
from faust.types import TP

from agents.host import Host
from app.transport.consumer import MicroBatchConsumer
from app.transport.membership import Membership
from config.topics import SOURCE_TOPICS


class ConsumerSource:
    """The app's consumer as the partitions' source; topics by their index."""

    def __init__(self, app: faust.App, names: Mapping[str, str], membership: Membership) -> None:
        self._app = app
        self._membership = membership
        self._topics = [names[name] for name in SOURCE_TOPICS]

    async def bounds(self, partition: int) -> Mapping[int, tuple[int, int]]:
        tps = self._tps(partition)
        begins = await self._consumer.earliest_offsets(*tps)
        ends = await self._consumer.highwaters(*tps)
        return {index: (int(begins[tp] or 0), int(ends[tp] or 0)) for index, tp in enumerate(tps)}

    def heads(self, partition: int) -> Mapping[int, int]:
        heads = ((index, self._consumer.highwater(tp)) for index, tp in enumerate(self._tps(partition)))
        return {index: head for index, head in heads if head is not None}

    def heard_ms(self, partition: int) -> int:
        return max(self._consumer.heard_ms(tp) for tp in self._tps(partition))

    async def resume(self, partition: int, positions: Mapping[int, int]) -> None:
        tps = self._tps(partition)
        await self._consumer.seek_to({tps[index]: offset for index, offset in positions.items()})
        self._consumer.resume_partitions(tps)

    async def confirmed(self, since_s: float) -> None:
        await self._membership.confirmed(since_s)

    def pause(self, partition: int) -> None:
        self._consumer.pause_partitions(self._tps(partition))

    @property
    def _consumer(self) -> MicroBatchConsumer:
        return cast(MicroBatchConsumer, self._app.consumer)

    def _tps(self, partition: int) -> list[TP]:
        return [TP(topic, partition) for topic in self._topics]


class DurablePositions:
    """The host's durable positions, under their full topic names, and its partitions' end."""

    def __init__(self, names: Mapping[str, str], host: Host) -> None:
        self._topics = [names[name] for name in SOURCE_TOPICS]
        self._host = host

    def durable(self) -> Mapping[TP, int]:
        held = self._host.durable().items()
        return {TP(self._topics[topic], partition): offset for (topic, partition), offset in held}

    async def released(self) -> None:
        await self._host.released()
