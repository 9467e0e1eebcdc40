"""The way to Redis, which may be slow or gone at any time: nothing waits for it for long.

Rules:

1.  Redis is late after `late_s` seconds. What is late is cancelled, its connection closed, and the link goes
    down. An error does the same, whatever it is.
2.  While the link is down nobody asks: a probe in the background does, with growing pauses, and takes it up
    once Redis does in time what calls ask of it. A link that goes down again soon waits longer each time.
3.  So many calls are at Redis at once; others wait for their turn, a bounded time, and then do without it.
4.  That this worker's own loop was busy is not Redis's lateness: what has come by then is looked at first.
5.  What the library does it does in a task of its own: on this Python it may lose a cancellation, and
    neither a call nor `stop` waits for it then.
6.  The URL is a secret: neither it nor an error's text, which may quote from it, is logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from config.metrics import Metrics
from tables.background import Background

#: Calls at Redis at once; each has its connection.
AT_ONCE = 32

#: A call waits for its turn so long, in seconds. Turns are short: only this worker's own load makes them
#: long, and a worker that falls back whenever it is busy would not keep the rate.
TURN_S = 1.0

#: A connection is made within so many seconds, or `late_s` if that is more, TLS and password included, or the
#: probe fails.
CONNECT_S = 2.0

#: Pauses between probes, in seconds; a link that was up for `CALM_S` begins anew with the first.
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 2.0
CALM_S = 10.0

#: Turns of the loop in which an answer that has come is read, and its task ends.
_READING_TURNS = 5

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Why Redis was not used: `down` before it was asked.
Reason = Literal["down", "late", "failed", "busy"]


class RedisAwayError(Exception):
    """Redis did not answer, or was not asked. `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class RedisLink:
    """Connections to one Redis, and whether it is to be asked.

    Args:
        url: redis://, rediss:// or unix://.
        late_s: after how many seconds Redis is late.
    """

    def __init__(self, url: str, metrics: Metrics, late_s: float) -> None:
        self._late_s = late_s
        # Whoever lets an answer take longer lets a connection take as long.
        self._connect_s = max(CONNECT_S, late_s)
        self._metrics = metrics
        self.pool = ConnectionPool.from_url(
            url,
            # The probe's own beside those of calls, and cancelled ones that are still closing.
            max_connections=3 * AT_ONCE,
            socket_connect_timeout=self._connect_s,
            socket_timeout=self._connect_s,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
            protocol=2,
        )
        self.client: Redis = Redis(connection_pool=self.pool)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._up = False
        self._up_since_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._told: str | None = None
        self._fell = asyncio.Event()
        self._fell.set()
        self._checks: list[Callable[[], Awaitable[object]]] = []
        self._probing = Background(self._probe_on, "redis probe")

    @property
    def up(self) -> bool:
        """Whether Redis is asked."""
        return self._up

    def check_with(self, check: Callable[[], Awaitable[object]]) -> None:
        """Something that Redis must do in time before it is asked by calls."""
        self._checks.append(check)

    def start(self) -> None:
        """Begin to look for Redis, in the background."""
        self._probing.start()

    async def stop(self) -> None:
        """Close all connections."""
        self._up = False
        await self._probing.stop()
        try:
            await self.pool.disconnect()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("Redis was not left in order", error=type(error).__name__)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """What Redis answers to one command.

        Raises:
            RedisAwayError: it did not in time, or is not asked now.
        """
        await self._turn()
        try:
            if not self._up:
                raise RedisAwayError("down")
            return await self._in_time(call, self._late_s)
        except RedisAwayError as away:
            if away.reason != "down":
                self._fall(away)
            raise
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        if not self._up:
            raise RedisAwayError("down")
        if not self._turns.locked():
            await self._turns.acquire()
            return
        self._metrics.redis_waiting.inc()
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise RedisAwayError("busy") from None
        finally:
            self._metrics.redis_waiting.dec()

    async def _in_time(self, call: Callable[[], Awaitable[T]], late_s: float) -> T:
        task = asyncio.ensure_future(call())
        try:
            await asyncio.wait([task], timeout=late_s)
            for _ in range(_READING_TURNS):
                if task.done():
                    break
                await asyncio.sleep(0)
            if not task.done():
                raise RedisAwayError("late")
            return task.result()
        except RedisAwayError:
            raise
        except Exception as error:
            raise RedisAwayError("failed") from error
        finally:
            if not task.done():
                task.cancel()
                task.add_done_callback(_look_at)

    def _fall(self, away: RedisAwayError) -> None:
        """Ask no more until a probe says so."""
        if not self._up:
            return
        self._up = False
        self._metrics.redis_up.set(0)
        if time.monotonic() - self._up_since_s > CALM_S:
            self._pause_s = FIRST_PAUSE_S
        self._tell_down(away)
        self._fell.set()

    def _tell_down(self, away: RedisAwayError) -> None:
        if self._told != "down":
            self._told = "down"
            cause = away.__cause__
            log.warning(
                "Redis is away: this worker counts alone",
                reason=away.reason,
                error=None if cause is None else type(cause).__name__,
            )

    async def _probe_on(self) -> None:
        while True:
            await self._fell.wait()
            try:
                await self._probe()
            except RedisAwayError as away:
                self._tell_down(away)
                await self._pause()
                continue
            self._rise()

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LAST_PAUSE_S)

    def _rise(self) -> None:
        self._fell.clear()
        self._up, self._up_since_s, self._told = True, time.monotonic(), "up"
        self._pause_s = min(self._pause_s * 2, LAST_PAUSE_S)
        self._metrics.redis_up.set(1)
        log.info("Redis answers: workers count together")

    async def _probe(self) -> None:
        """Connect anew, then have each check done in time, twice: once it may have to load its script.

        Raises:
            RedisAwayError: Redis cannot be reached, or is late.
        """
        await self._in_time(self._prepare, self._connect_s)
        for check in self._checks:
            await self._in_time(check, self._late_s)

    async def _prepare(self) -> None:
        await self.pool.disconnect(inuse_connections=False)
        await asyncio.gather(*(self._warm() for _ in range(AT_ONCE)))
        for check in self._checks:
            await check()

    async def _warm(self) -> None:
        """Have one more connection open: none of the first calls shall have to make it."""
        connection = await self.pool.get_connection()  # type: ignore[no-untyped-call]  # the library's own gap
        try:
            # The others take theirs meanwhile.
            await asyncio.sleep(0)
        finally:
            await self.pool.release(connection)


def _look_at(task: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: an error that nobody read must not be logged as one."""
    if not task.cancelled():
        task.exception()
