"""Time that passes only when there is nothing else to do: every run is the same and no wait is long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

#: Added to every wait: a sum of floats must not fall short of the timer it waits for.
_GRAIN_S = 1e-6

START_MS = 1_800_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without I/O and threads, whose clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 1.0
        self.jumped_ms = 0
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._now_s

    def wall_ms(self) -> int:
        """The wall clock, epoch milliseconds."""
        return START_MS + self.jumped_ms + int(self._now_s * 1_000)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.run_until_complete(what)

    def pass_s(self, seconds: float) -> None:
        """Let everything run that is due within so long."""
        self.run_until_complete(asyncio.sleep(seconds))

    def _select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everything waits for something that never comes")
        if timeout > 0:
            self._now_s += timeout + _GRAIN_S
        return []

    # `fold_loop` and `host` read the `time` module; they are given this instead.

    def perf_counter(self) -> float:
        return self._now_s

    def monotonic(self) -> float:
        return self._now_s
