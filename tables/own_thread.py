"""A thread for work that must go on while the worker's shared threads are taken by requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnThread:
    """Does one thing after the other, in a thread that is there from the first use to `close`.

    Args:
        name: the thread's, for people who look at a stuck program.
    """

    __slots__ = ("_executor", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the work returns or raises. It goes on when the caller is cancelled."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let the thread end after what it is at; a later `run` begins another."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
