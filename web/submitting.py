"""Writing a record and waiting for what its fold finds: how a caller that writes reads its write."""

from __future__ import annotations

import asyncio

from app.decision.fold import Verdict
from app.decision.refusals import Problem
from config.topics import HEADER_REQUEST
from tables.publisher import PublishError
from tables.waiters import FoldAbandonedError, WaitersFullError
from web.engine import Engine
from web.errors import ApiError, internal_error, invalid, not_found, not_ready, overloaded, pending
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
    try:
        return await written(engine, lease, topic, record)
    except WaitersFullError as error:
        raise overloaded() from error
    except PublishError as error:
        if error.certain:
            raise not_ready("Kafka did not take the record: nothing was recorded; retry.") from error
        raise pending(f"It is unknown whether this was recorded; {retry}.") from error
    except TimeoutError as error:
        raise pending(f"Recorded, but not yet visible; if you must retry, {retry}.") from error
    except FoldAbandonedError as error:
        raise pending(f"Recorded; the customer's partition moved before it was visible; {retry}.") from error


async def written(
    engine: Engine, lease: Lease, topic: str, record: bytes, patience_s: float | None = None
) -> Verdict:
    """What the fold found of the record.

    The first await is the publisher's: records are sent in the order of the calls. `patience_s` is how long
    Kafka may take for it, when not as usual.

    Raises:
        WaitersFullError: nothing was written.
        PublishError: not acknowledged; says whether it may have been written.
        TimeoutError: written, its fold was not seen in time.
        FoldAbandonedError: written, its partition stopped or moved.
    """
    waiters = lease.partition.waiters
    # Not the caller's request id: two requests may carry the same one.
    token = engine.origin_id + engine.chance()
    waiting = waiters.expect(token)
    headers = ((HEADER_REQUEST, token.encode()),)
    try:
        try:
            await lease.publish(topic, record, headers, patience_s)
        except PublishError as error:
            # A record that was folded was written, whatever its acknowledgement's fate.
            if error.certain or not waiting.done() or waiting.exception() is not None:
                raise
        async with asyncio.timeout(engine.settings.read_your_writes_timeout_ms / 1000):
            verdict = await waiting
        if not lease.holds():
            # Another may own the partition, and its fold says what became of the record.
            raise FoldAbandonedError("the partition's lease ended meanwhile")
        return verdict
    except TimeoutError:
        engine.metrics.waiters_expired_total.inc()
        raise
    finally:
        waiters.forget(token)
        _discard(waiting)


def _discard(waiting: asyncio.Future[Verdict]) -> None:
    """Nobody waits any more: an error that nobody read must not be logged as one."""
    if not waiting.done():
        waiting.cancel()
    elif not waiting.cancelled():
        waiting.exception()


def refusal(verdict: Verdict) -> ApiError:
    """The error for a record that the fold refused: 404 for an unknown target, 500 for our own, else 400."""
    refused = verdict.refused
    if refused is not None and refused.reason == "internal":
        return internal_error()
    problems = refused.problems if refused is not None else (Problem("", "was refused"),)
    unresolved = refused is not None and refused.reason == "unresolved"
    if unresolved and problems[0].field != "outcome":
        return not_found(f"{problems[0].field}: {problems[0].message}", problems[0].field)
    return invalid(problems)
