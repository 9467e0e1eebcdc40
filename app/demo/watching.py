"""Working only as long as the processes that the work needs are alive."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import aiohttp

_LOOK_EVERY_S = 0.2
#: A process that dies breaks its connections a moment before it is seen to have ended.
_DEATH_SHOWS_S = 0.5
#: How long work that is called off may take to clean up; producers would wait much longer for a dead broker.
_GIVE_UP_S = 1.0
_LOG_LINES = 3
_LINE_CHARS = 300

Result = TypeVar("Result")


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


class Part(Protocol):
    """A process of the demo, by what is asked of it here."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    def tail(self, lines: int = ...) -> str:
        """The last lines of its log."""


Parts = Sequence[tuple[str, Part]]


async def while_alive(parts: Parts, work: Coroutine[Any, Any, Result]) -> Result:
    """What the work returns.

    Args:
        parts: the processes it needs, each with its name in a sentence.

    Raises:
        DemoError: one of them ended, or does not answer.
    """
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_LOOK_EVERY_S)
            _all_alive(parts)
        if task.exception() is not None:
            await asyncio.sleep(_DEATH_SHOWS_S)
            _all_alive(parts)  # the death is the cause, and says more than its effect
        return task.result()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoError(f"the worker does not answer ({error or 'timed out'})") from error
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=_GIVE_UP_S)
        if task.done() and not task.cancelled():
            # What the work failed with while it was called off is no news: it must not be printed as lost.
            task.exception()


def _all_alive(parts: Parts) -> None:
    for name, part in parts:
        if part.returncode is not None:
            raise DemoError(f"{name} {_how(part.returncode)}{_end_of_log(part)}")


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _end_of_log(part: Part) -> str:
    lines = [line[:_LINE_CHARS] for line in part.tail(_LOG_LINES).splitlines()]
    return "; the end of its log:\n  " + "\n  ".join(lines) if lines else " and logged nothing"
