"""The moving windows that all workers share, in Redis; by the library `limits`.

Rules:

1.  The library stamps calls with the asking worker's clock. Clocks that differ by a second make a window
    wrong by as much; workers' machines keep time by NTP.
2.  A window that is full is not asked again before there is room in it: a tenant that calls on and on costs
    Redis nothing. Room is only made by time, or by a higher limit.
3.  A call whose answer came late may have been counted by Redis all the same: never one too few.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from limits.aio.storage import RedisStorage

from web.redis_link import RedisAwayError, RedisLink

#: Windows remembered as full.
FULL_MAX = 10_000


class _Full(NamedTuple):
    """A window without room for this limit until an instant, by the clock of `time.time`."""

    limit: int
    until_s: float


class SharedWindows:
    """Moving windows in Redis.

    Args:
        link: the way there.
        app_id: what the keys begin with.
        window_s: how long each is, in seconds.
    """

    def __init__(self, link: RedisLink, app_id: str, window_s: int) -> None:
        self._link = link
        self._window_s = window_s
        # The URL is the pool's own affair.
        options: dict[str, Any] = {"connection_pool": link.pool}
        self._storage = RedisStorage("async+redis://", implementation="redispy", key_prefix=app_id, **options)
        self._full: dict[str, _Full] = {}
        link.check_with(self._check)

    async def _check(self) -> None:
        await self._storage.acquire_entry("rate-probe", 1, 1)
        await self._storage.get_moving_window("rate-probe", 1, 1)

    async def take(self, key: str, limit: int) -> float:
        """Admit a call, if there is room for it: 0, or for how many seconds there is none.

        Raises:
            RedisAwayError: Redis does not say.
        """
        wait_s = self.full_for_s(key, limit)
        if wait_s:
            return wait_s
        if await self._link.ask(lambda: self._storage.acquire_entry(key, limit, self._window_s)):
            return 0.0
        return await self._wait_s(key, limit)

    def full_for_s(self, key: str, limit: int) -> float:
        """For how many seconds there is certainly no room; 0 when Redis must be asked."""
        full = self._full.get(key)
        if full is None:
            return 0.0
        left_s = full.until_s - time.time()
        # A clock that was set back must not keep a tenant out.
        if limit <= full.limit and 0 < left_s <= self._window_s:
            return left_s
        del self._full[key]
        return 0.0

    async def _wait_s(self, key: str, limit: int) -> float:
        try:
            began_s, calls = await self._link.ask(
                lambda: self._storage.get_moving_window(key, limit, self._window_s)
            )
        except RedisAwayError:
            # It is full, that much is known.
            return float(self._window_s)
        left_s = began_s + self._window_s - time.time()
        if calls < limit or left_s <= 0:
            return 1.0
        if len(self._full) >= FULL_MAX:
            self._full.clear()
        self._full[key] = _Full(limit, began_s + self._window_s)
        return left_s
