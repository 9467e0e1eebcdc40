"""Tasks in the background: they run until they are stopped, and say when they do not."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tables.background import Background


async def test_it_runs_until_it_is_stopped() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    background = Background(run, "one")
    await background.stop()
    with capture_logs() as logs:
        background.start()
        await begun.wait()
        await background.stop()
    assert ended.is_set()
    assert logs == []


@pytest.mark.parametrize("error", [RuntimeError("broken"), None])
async def test_it_says_when_it_ends_by_itself(error: Exception | None) -> None:
    async def run() -> None:
        if error is not None:
            raise error

    background = Background(run, "one")
    with capture_logs() as logs:
        background.start()
        for _ in range(5):
            await asyncio.sleep(0)
        await background.stop()
    [said] = logs
    assert (said["log_level"], said["task"], said["exc_info"]) == ("error", "one", error)
