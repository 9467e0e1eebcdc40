"""The supervisor: several workers on one machine, each a process, started again when it ends.

1.  A worker that ends by itself is started again, after a wait that doubles with each end and begins anew
    once it has run for a while. That never stops: no broker, or a crash, may pass. It is said each time, and
    as an error when no worker is left.
2.  Exit code 2 of a worker's first start, settings that are wrong, ends everything with 2: starting again
    cannot help. Later it is an end like any other: Python ends with it too when a program is not there.
3.  SIGTERM and SIGINT are passed on as one SIGTERM. Whoever takes too long is killed; a second signal kills
    all at once. The exit code is 0 when every worker that ran then ended cleanly, else 1.
4.  No worker outlives the supervisor, on Linux not even its kill -9 (app/child.py).
5.  One task decides, on events from one queue. Signals come through the event loop: a handler of Python's own
    would wait for a main thread that has just begun to block. Kafka and Faust are not loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.child import Child
from config.logs import get_logger
from config.settings import Settings

log = get_logger(__name__)

#: How long workers may take to stop, in seconds: what a worker takes at most (app/worker.py), and a margin.
STOP_S = 20.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
#: A worker that ran for so long, in seconds, did start.
_RAN_S = 60.0
_SETTINGS_WRONG = 2
#: Before it listens for signals a worker has nothing to finish, and ends by the signal itself.
_CLEAN = (0, -signal.SIGTERM)


@dataclass(frozen=True)
class _Ended:
    """A worker has ended, with this exit code."""

    number: int
    code: int


@dataclass
class _Worker:
    """One worker: its process while it runs, else when to start it; the wait before its latest start."""

    number: int
    settings: Settings
    child: Child | None = None
    started_s: float = 0.0
    start_at_s: float | None = 0.0
    waited_s: float = 0.0


def next_wait_s(waited_s: float, ran_s: float) -> float:
    """How long a worker that ended waits for its next start.

    Args:
        waited_s: how long it had waited for this one; 0 for the first.
        ran_s: how long it ran.
    """
    if waited_s == 0 or ran_s >= _RAN_S:
        return _FIRST_WAIT_S
    return min(waited_s * 2, _LONGEST_WAIT_S)


def worker_command() -> list[str]:
    """What starts a worker when its number is added: this very program, however it was started."""
    module = sys.modules["__main__"].__spec__
    program = [sys.argv[0]] if module is None else ["-m", module.name]
    return [sys.executable, *program, "worker", "--supervised-as"]


class Supervisor:
    """Runs workers until a signal."""

    def __init__(
        self, all_settings: Sequence[Settings], command: Sequence[str], stop_s: float = STOP_S
    ) -> None:
        """``command``, with its number added, starts a worker; a stop may take ``stop_s`` seconds."""
        self._workers = [_Worker(number, settings) for number, settings in enumerate(all_settings)]
        self._command = list(command)
        self._stop_s = stop_s
        self._events: asyncio.Queue[_Ended | signal.Signals] = asyncio.Queue()

    def run(self) -> int:
        """Run the workers in an event loop of their own; returns the exit code."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._events.put_nowait, number)
        log.info("supervisor started", workers=len(self._workers))
        code = await self._watch()
        clean = await self._stop()
        log.info("supervisor stopped", clean=clean)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # one that comes now is too late to change anything
        return code or int(not clean)

    async def _watch(self) -> int:
        """Start workers, and start them again, until a stop is due; the exit code if the stop is clean."""
        while True:
            for worker in self._workers:
                if worker.start_at_s is not None and worker.start_at_s <= time.monotonic():
                    self._start(worker)
            starts = [worker.start_at_s for worker in self._workers if worker.start_at_s is not None]
            event = await self._next_event(min(starts, default=None))
            if isinstance(event, signal.Signals):
                log.info("supervisor stops", signal=event.name)
                return 0
            if event is not None:
                wrong = self._settings_wrong(event)
                self._ended(event, again=not wrong)
                if wrong:
                    log.error("a worker cannot use its settings, stopping all", worker=event.number)
                    return _SETTINGS_WRONG

    def _start(self, worker: _Worker) -> None:
        worker.start_at_s, worker.started_s = None, time.monotonic()
        number, loop = worker.number, asyncio.get_running_loop()
        try:
            worker.child = Child(
                [*self._command, str(number)],
                log=None,
                env=worker.settings.environment(os.environ),
                on_end=lambda code: self._tell(loop, _Ended(number, code)),
            )
        except (OSError, RuntimeError, ValueError) as error:
            self._start_later(worker, {"error": str(error)})
        else:
            log.info("worker process started", worker=number, pid=worker.child.pid)

    def _tell(self, loop: asyncio.AbstractEventLoop, event: _Ended) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker was killed at the end
            loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _settings_wrong(self, event: _Ended) -> bool:
        worker = self._workers[event.number]
        fresh = worker.waited_s == 0 and time.monotonic() - worker.started_s < _RAN_S
        return event.code == _SETTINGS_WRONG and fresh

    def _ended(self, event: _Ended, *, again: bool) -> None:
        worker = self._workers[event.number]
        assert worker.child is not None, "a worker ends once, while it runs"
        worker.child.kill()  # it is gone: forget it
        worker.child = None
        if again:
            self._start_later(worker, _how(event.code))

    def _start_later(self, worker: _Worker, how: dict[str, object]) -> None:
        worker.waited_s = next_wait_s(worker.waited_s, time.monotonic() - worker.started_s)
        worker.start_at_s = time.monotonic() + worker.waited_s
        log.warning("worker ended, starting it again", worker=worker.number, in_s=worker.waited_s, **how)
        if all(one.child is None for one in self._workers):
            log.error("no worker is running", workers=len(self._workers))

    async def _stop(self) -> bool:
        """Stop the workers that run; whether all of them ended cleanly."""
        running = {worker.number: worker.child for worker in self._workers if worker.child is not None}
        for child in running.values():
            child.send_signal(signal.SIGTERM)
        until_s, clean = time.monotonic() + self._stop_s, True
        while running:
            event = await self._next_event(until_s)
            if not isinstance(event, _Ended):
                log.error("killing workers", workers=sorted(running), why=event.name if event else "too slow")
                for child in running.values():
                    child.send_signal(signal.SIGKILL)
                for child in running.values():
                    child.kill()
                return False
            del running[event.number]
            if event.code not in _CLEAN:
                log.error("worker did not stop cleanly", worker=event.number, **_how(event.code))
                clean = False
        return clean

    async def _next_event(self, until_s: float | None) -> _Ended | signal.Signals | None:
        """The next event; None when there is none until then."""
        try:
            async with asyncio.timeout(None if until_s is None else until_s - time.monotonic()):
                return await self._events.get()
        except TimeoutError:
            return None


def _how(code: int) -> dict[str, object]:
    """An ending, for the log."""
    if code >= 0:
        return {"exit_code": code}
    names = {number.value: number.name for number in signal.Signals}
    return {"signal": names.get(-code, str(-code))}
