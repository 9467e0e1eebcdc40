"""What Ctrl-C, SIGTERM and a closed terminal do to the demo at each moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Turns the first stop signal into an orderly end, and ignores the rest: an end is under way."""

    def __init__(self, exit_code: int, to_stderr: bool) -> None:
        """`exit_code`: of an end before anything was started."""
        self._exit_code = exit_code
        self._descriptor = 2 if to_stderr else 1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._asked = False

    def listen(self) -> None:
        """Take the signals from now on, until the process ends."""
        for number in _STOPS:
            # A signal that is ignored from the start (nohup, a script's background) stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._signalled)

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Within it, a stop cancels the task that entered it; after it, stops do nothing any more."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            yield
        finally:
            self._asked = True

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._loop is None or self._task is None:
            # Nothing runs yet. An exception here would surface within some library's import, which need not
            # let it through.
            with suppress(OSError):
                os.write(self._descriptor, b"Stopped.\n")
            os._exit(self._exit_code)
        if not self._asked:
            self._asked = True
            self._loop.call_soon_threadsafe(self._task.cancel)
