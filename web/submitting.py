"""Writing a record and waiting for what its fold finds: how a caller that writes reads its write."""

from __future__ import annotations

import asyncio

from app.decision.fold import Verdict
from app.decision.records import Problem
from config.topics import HEADER_REQUEST
from tables.publisher import PublishError
from tables.waiters import FoldAbandonedError, WaitersFullError
from web.engine import Engine
from web.errors import ApiError, invalid, not_found, not_ready, overloaded, pending
from web.routing import Lease


async def submit(engine: Engine, lease: Lease, topic: str, record: bytes, retry: str) -> Verdict:
    """What the fold found of the record, once it is durable and folded.

    Args:
        topic: a name of `config.topics`.
        record: the record's JSON, checked: the fold accepts it.
        retry: how a caller retries without being counted twice, for error messages.

    Raises:
        ApiError: 503 OVERLOADED or NOT_READY when certainly nothing was written; 503 PENDING when it was
            or may have been, and its fold was not seen.
    """
    partition = lease.partition
    # Not the caller's request id: two requests may carry the same one.
    token = engine.origin_id + engine.chance()
    try:
        waiting = partition.waiters.expect(token)
    except WaitersFullError as error:
        raise overloaded() from error
    try:
        try:
            await engine.publisher.publish(
                topic, lease.key, record, ((HEADER_REQUEST, token.encode()),), partition.number
            )
        except PublishError as error:
            if error.certain:
                raise not_ready("Kafka did not take the record: nothing was recorded; retry.") from error
            if not waiting.done():
                raise pending(f"It is unknown whether this was recorded; {retry}.") from error
        return await _verdict(engine, waiting, retry)
    finally:
        partition.waiters.forget(token)
        _discard(waiting)


async def _verdict(engine: Engine, waiting: asyncio.Future[Verdict], retry: str) -> Verdict:
    try:
        async with asyncio.timeout(engine.settings.read_your_writes_timeout_ms / 1000):
            return await waiting
    except TimeoutError as error:
        engine.metrics.waiters_expired_total.inc()
        raise pending(f"Recorded, but not yet visible; if you must retry, {retry}.") from error
    except FoldAbandonedError as error:
        raise pending(f"Recorded; the customer's partition moved before it was visible; {retry}.") from error


def _discard(waiting: asyncio.Future[Verdict]) -> None:
    """Nobody waits any more: an error that nobody read must not be logged as one."""
    if not waiting.done():
        waiting.cancel()
    elif not waiting.cancelled():
        waiting.exception()


def refusal(verdict: Verdict) -> ApiError:
    """The error for a record that the fold refused: 404 for a target nobody knows, else 400."""
    refused = verdict.refused
    problems = refused.problems if refused is not None else (Problem("", "was refused"),)
    unresolved = refused is not None and refused.reason == "unresolved"
    if unresolved and problems[0].field != "outcome":
        return not_found(problems[0].message, problems[0].field)
    return invalid(problems)
