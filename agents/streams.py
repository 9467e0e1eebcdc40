"""The Faust agents of the customer topics: each hands its chunks to the partition they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.streams import Stream
from faust.types import EventT

from agents.host import Host
from agents.inbox import Chunk
from config.topics import SOURCE_TOPICS


class ChunkSchema(faust.Schema[Any, Any]):
    """Passes a chunk through undecoded: decoding is the fold's, where a bad record is only itself."""

    async def decode(self, app: Any, message: Any, *, propagate: bool = False) -> Any:
        return app.create_event(None, message.value, message.headers, message)

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        async def decode(message: Any, **_: Any) -> Any:
            return app.create_event(None, message.value, message.headers, message)

        return decode


def declare_agents(app: faust.App, host: Host, names: dict[str, str]) -> None:
    """One agent for each customer topic.

    Args:
        app: not started yet.
        host: of this worker's partitions.
        names: full topic names, by their names in `config.topics`.
    """
    for index, name in enumerate(SOURCE_TOPICS):
        topic = app.topic(names[name], schema=ChunkSchema(), partitions=None, internal=False)
        app.agent(topic, name=f"fold-{name}")(_agent(app, host, index))


def _agent(app: Any, host: Host, index: int) -> Callable[[Any], Awaitable[None]]:
    async def fold(stream: Stream[Any]) -> None:
        async for event in stream.noack().events():
            message = event.message
            records, begin, end, size, seeks = event.value
            if seeks != app.consumer.seeks(message.tp):
                event.ack()
                continue
            chunk = Chunk(index, records, begin, end, size, _done(event))
            await host.offer(message.partition, chunk)

    return fold


def _done(event: EventT[Any]) -> Callable[[], None]:
    def done() -> None:
        event.ack()

    return done
