"""Requests that wait until the fold has passed their record."""

from __future__ import annotations

import asyncio

from app.decision.fold import Verdict


class WaitersFullError(Exception):
    """As many requests wait as may. User-facing, retryable: answer OVERLOADED."""


class FoldAbandonedError(Exception):
    """The partition stopped or moved before the record was folded. Retryable with the same key.

    The record may be on Kafka; if it is, its next owner folds it.
    """


class Waiters:
    """One partition's waiting requests, by request id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[str, asyncio.Future[Verdict]] = {}
        #: Verdicts of the batch in hand that are told once it is written, of requests that wait.
        self._deferred: dict[str, Verdict] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, request_id: str) -> asyncio.Future[Verdict]:
        """A future of the verdict on the record with this id. Register before publishing it.

        Raises:
            WaitersFullError: the bound is reached.
        """
        if len(self._waiting) >= self._limit:
            raise WaitersFullError(f"{len(self._waiting)} requests wait already")
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        return future

    def settle(self, request_id: str, verdict: Verdict) -> None:
        """The record was folded. A request that no longer waits is none of our business."""
        future = self._waiting.pop(request_id, None)
        if future is not None and not future.done():
            future.set_result(verdict)

    def defer(self, request_id: str, verdict: Verdict) -> None:
        """The record was folded, and its request is to be told when that is durable."""
        if request_id in self._waiting:
            self._deferred[request_id] = verdict

    def written(self) -> None:
        """The batch in hand is durable."""
        deferred, self._deferred = self._deferred, {}
        for request_id, verdict in deferred.items():
            self.settle(request_id, verdict)

    def forget(self, request_id: str) -> None:
        """The request gave up."""
        self._waiting.pop(request_id, None)

    def abandon(self, reason: str) -> None:
        """Fail every waiting request: the partition stopped or moved."""
        waiting, self._waiting = self._waiting, {}
        self._deferred.clear()
        for future in waiting.values():
            if not future.done():
                future.set_exception(FoldAbandonedError(reason))
