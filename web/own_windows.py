"""This worker's own moving windows: what it admitted in the last minute, by key.

Rules:

1.  Exact: at no instant does the window that ends there hold more than was allowed.
2.  A window holds one instant for each call admitted in it, and nothing when there were none: what is kept is
    bounded by the tenants that have a rate, and by their rates.
3.  The library's store in memory is not used: it goes through all keys in a thread after each hit (65 µs, and
    more with every tenant), cannot take a hit back, and reads a clock that is set now and then.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable


class OwnWindows:
    """Moving windows in memory.

    Args:
        window_s: how long each is, in seconds.
        clock_s: a clock that only goes forward, seconds.
    """

    def __init__(self, window_s: int, clock_s: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock_s = clock_s
        self._admitted: dict[str, deque[float]] = {}
        self._swept_s = clock_s()

    def __len__(self) -> int:
        """How many windows are held."""
        return len(self._admitted)

    def take(self, key: str, limit: int) -> tuple[float, float]:
        """Admit a call, if there is room for it.

        Returns:
            When it was admitted, by the clock, and 0; or 0 and for how many seconds there is no room.
        """
        now_s = self._clock_s()
        self._sweep(now_s)
        admitted = self._admitted.setdefault(key, deque())
        self._forget(admitted, now_s)
        if len(admitted) < limit:
            admitted.append(now_s)
            return now_s, 0.0
        # A limit that was lowered is kept once enough of the calls have left.
        return 0.0, admitted[len(admitted) - limit] + self._window_s - now_s

    def give_back(self, key: str, at_s: float) -> None:
        """A call that was admitted at this instant was not made after all."""
        with contextlib.suppress(ValueError, KeyError):
            self._admitted[key].remove(at_s)

    def _forget(self, admitted: deque[float], now_s: float) -> None:
        left_s = now_s - self._window_s
        while admitted and admitted[0] <= left_s:
            admitted.popleft()

    def _sweep(self, now_s: float) -> None:
        """Once a window's time, drop those in which nothing is left."""
        if now_s - self._swept_s < self._window_s:
            return
        self._swept_s = now_s
        for key, admitted in list(self._admitted.items()):
            self._forget(admitted, now_s)
            if not admitted:
                del self._admitted[key]
