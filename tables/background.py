"""A task of the worker that goes on until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """One coroutine that runs from `start` to `stop`; started at most once at a time.

    Args:
        run: gives the coroutine, which goes on until it is cancelled.
        name: the task's, for people who look at a stuck program.
    """

    __slots__ = ("_name", "_run", "_task")

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._run = run
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self._name)
        self._task.add_done_callback(_say)

    async def stop(self) -> None:
        """Cancel it and wait until it has ended; nothing when it does not run."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _say(task: asyncio.Task[None]) -> None:
    """It was to go on: that it has ended by itself must not be found out later, by what it no longer does."""
    if not task.cancelled():
        log.error("a task in the background has ended", task=task.get_name(), exc_info=task.exception())
