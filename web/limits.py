"""Rates: how often a tenant may call, counted by all workers together, or by each alone.

Rules:

1.  A call counts once, at the worker that took it from its caller, as soon as it is known who calls: whatever
    is answered then. Calls without a good key, and those of operators, do not count.
2.  A tenant without a rate costs nothing but a look at its settings.
3.  Every call counts in this worker's own window, which must have room too. With Redis the shared window
    decides beside it; without, or while Redis is away, the own one alone. So a worker that falls back goes on
    from what it has admitted, and so does one whose Redis comes back empty.
4.  No call fails because of Redis.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from app.decision.tiers import Rate
from config.metrics import Metrics
from config.settings import Settings
from web.errors import rate_limited
from web.own_windows import OwnWindows
from web.redis_link import RedisAwayError, RedisLink
from web.shared_windows import SharedWindows

WINDOW_S = 60


class Limits:
    """What a worker counts its tenants' calls with.

    Args:
        settings: names the application and its Redis.
        metrics: counts refusals and fallbacks.
        window_s: a window's length in seconds; a minute but in tests.
        clock_s: a clock that only goes forward, seconds.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        window_s: int = WINDOW_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._own = OwnWindows(window_s, clock_s)
        url = settings.redis_url
        #: The way to Redis; None when there is none.
        self.link = (
            None if url is None else RedisLink(url.reveal(), metrics, settings.redis_timeout_ms / 1000)
        )
        self._shared = None if self.link is None else SharedWindows(self.link, settings.app_id, window_s)

    def start(self) -> None:
        """Begin to look for Redis; calls are counted from the beginning."""
        if self.link is not None:
            self.link.start()

    async def stop(self) -> None:
        """Let go of Redis."""
        if self.link is not None:
            await self.link.stop()

    async def admit(self, tenant_id: str, rate: Rate) -> None:
        """Count a call.

        Raises:
            ApiError: 429 when its window is full.
        """
        wait_s = await self._wait_s(f"rate:{tenant_id}:{rate.window}", rate.per_min)
        self._metrics.rate_windows.set(len(self._own))
        if wait_s > 0:
            self._metrics.rate_limited_total.labels(rate.window).inc()
            raise rate_limited(rate.per_min, math.ceil(wait_s))

    async def _wait_s(self, key: str, limit: int) -> float:
        at_s, wait_s = self._own.take(key, limit)
        if wait_s > 0 or self._shared is None:
            return wait_s
        kept = False
        try:
            wait_s = await self._shared.take(key, limit)
            kept = wait_s <= 0
        except RedisAwayError as away:
            self._metrics.redis_fallbacks_total.labels("rate", away.reason).inc()
            kept = True
        finally:
            if not kept:
                self._own.give_back(key, at_s)
        return wait_s
