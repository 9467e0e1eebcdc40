"""Whether a Kafka client still works: aiokafka's live by tasks of their own and say nothing when one ends.

Rules:

1.  A client of which one of these tasks has ended does nothing more, and waits as if nothing had come: its
    owner replaces it (a reader, a publisher) or ends the process (the group's consumer).
2.  Looking costs a few attributes: it is done before every use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

log = structlog.get_logger(__name__)


class ClientEndedError(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """A task that a Kafka client lives by has ended. The client must be replaced."""


def check_consumer(consumer: AIOKafkaConsumer) -> None:
    """Nothing, for a started consumer that works.

    Raises:
        ClientEndedError: it fetches nothing more, or knows no longer where its partitions are, or its
            membership of its group is looked after by nobody.
    """
    _check(_consumer_tasks(consumer))


def check_producer(producer: AIOKafkaProducer) -> None:
    """Nothing, for a started producer that works.

    Raises:
        ClientEndedError: it sends nothing more.
    """
    _check((("sender", producer._sender.sender_task), ("metadata", producer.client._sync_task)))


def _consumer_tasks(consumer: AIOKafkaConsumer) -> Iterator[tuple[str, Any]]:
    yield "metadata", consumer._client._sync_task
    if consumer._fetcher is not None:
        yield "fetching", consumer._fetcher.error_future
    coordinator = consumer._coordinator
    yield "membership", getattr(coordinator, "_coordination_task", None)
    # These two end and begin with every generation of the group; only of an error is it for good.
    for name, attribute in (("heartbeats", "_heartbeat_task"), ("positions", "_commit_refresh_task")):
        task = getattr(coordinator, attribute, None)
        if task is not None and task.done() and _error(task) is not None:
            yield name, task


def _check(tasks: Any) -> None:
    for name, task in tasks:
        if task is not None and task.done():
            error = _error(task)
            raise ClientEndedError(f"the client's task of {name} has ended: {error!r}") from error


def _error(task: asyncio.Future[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client, also one that has ended: its connections are closed in any case.

    Raises:
        asyncio.CancelledError: the caller is cancelled. (aiokafka also lets cancellations of its own out.)
    """
    try:
        await client.stop()
    except asyncio.CancelledError:
        await _close(client)
        caller = asyncio.current_task()
        if caller is not None and caller.cancelling():
            raise
    except Exception as error:  # noqa: BLE001 - what one of its tasks had died of; it is stopped now
        log.warning("a Kafka client did not stop in order", error=repr(error))
        await _close(client)


async def _close(client: Any) -> None:
    """The last step of a stop."""
    kafka = client.client if isinstance(client, AIOKafkaProducer) else client._client
    if kafka._sync_task is not None and kafka._sync_task.done():
        kafka._sync_task = None
    await kafka.close()
