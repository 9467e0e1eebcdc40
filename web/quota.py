"""Quotas: how many recommend calls of a tenant may return decisions in a UTC month.

Rules:

1.  A quota goes by the log: what counts is what the fold counts, a decision with something shown. What is
    refused, comes out empty, is a replay, or is answered although it is not on the log does not.
2.  Used is the larger of what the scoreboard says of all workers, about a second late, and what this worker's
    partitions have folded with its decisions under way, which is exact. So a single worker is exact, also
    after a restart; two may overshoot by what they decide before they hear of each other.
3.  With Redis a decision is counted there before it is made, and given back when none comes out: then all
    workers are exact together. What may be on the log is not given back.
4.  Without Redis nothing awaits between the look and the decision's overlay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.decision.months import month_ends_ms, month_of
from config.metrics import Metrics
from config.settings import Settings
from tables.partitions import Partitions
from tables.scoreboard import Scoreboard
from web.errors import PENDING, ApiError, quota_exceeded
from web.quota_counter import QuotaCounter
from web.redis_link import RedisAwayError, RedisLink


class Quota:
    """What a worker knows of its tenants' quotas.

    Args:
        settings: names the application.
        partitions: this worker's.
        scoreboard: what all workers told.
        clock_ms: epoch ms.
        link: the way to Redis; None without.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: Partitions,
        scoreboard: Scoreboard,
        clock_ms: Callable[[], int],
        metrics: Metrics,
        link: RedisLink | None = None,
    ) -> None:
        self._partitions = partitions
        self._scoreboard = scoreboard
        self._clock_ms = clock_ms
        self._metrics = metrics
        self._counter = None if link is None else QuotaCounter(link, settings.app_id)

    def slot(self, tenant_id: str, limit: int | None) -> Slot:
        """Room for one decision, taken on entering. `limit` is the tenant's quota; None is room for all."""
        return Slot(self, tenant_id, limit)

    def used(self, tenant_id: str, month: int) -> int:
        """Decisions of a tenant in a month, as far as this worker knows."""
        own = 0
        for partition in self._partitions:
            own += partition.counters.decided(tenant_id, month)
            own += partition.overlays.decisions(tenant_id, month)
        return max(self._scoreboard.decided(tenant_id, month), own)

    def check(self, tenant_id: str, limit: int) -> int:
        """The month and that it has room, as far as this worker knows.

        Raises:
            ApiError: 429 when it has none.
        """
        month = month_of(self._clock_ms())
        used = self.used(tenant_id, month)
        self._metrics.quota_used.labels(tenant_id).set(used)
        if used >= limit:
            raise self._exceeded(month, limit)
        return month

    async def take(self, tenant_id: str, limit: int) -> int | None:
        """Take room for one decision; the month in which Redis counted it, None when it did not.

        Raises:
            ApiError: 429 when there is none.
        """
        month = self.check(tenant_id, limit)
        if self._counter is None:
            return None
        try:
            if await self._counter.take(tenant_id, month, self.used(tenant_id, month), limit):
                return month
        except RedisAwayError as away:
            self._metrics.redis_fallbacks_total.labels("quota", away.reason).inc()
            # Others decided meanwhile.
            self.check(tenant_id, limit)
            return None
        raise self._exceeded(month, limit)

    async def give_back(self, tenant_id: str, month: int) -> None:
        """The decision that was counted in Redis was not made."""
        if self._counter is None:
            return
        try:
            await self._counter.give_back(tenant_id, month)
        except RedisAwayError as away:
            self._metrics.redis_fallbacks_total.labels("quota", away.reason).inc()

    def _exceeded(self, month: int, limit: int) -> ApiError:
        self._metrics.quota_exceeded_total.inc()
        left_ms = month_ends_ms(month) - self._clock_ms()
        return quota_exceeded(limit, max(math.ceil(left_ms / 1000), 1))


class Slot:
    """Room for one decision while it is made. `logged` says that it was, and is on the log or may be."""

    __slots__ = ("_limit", "_month", "_quota", "_tenant_id", "logged")

    def __init__(self, quota: Quota, tenant_id: str, limit: int | None) -> None:
        self._quota = quota
        self._tenant_id = tenant_id
        self._limit = limit
        self._month: int | None = None
        self.logged = False

    async def __aenter__(self) -> Self:
        if self._limit is not None:
            self._month = await self._quota.take(self._tenant_id, self._limit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._month is None or self.logged:
            return
        if error is None or (isinstance(error, ApiError) and error.code != PENDING):
            await self._quota.give_back(self._tenant_id, self._month)
