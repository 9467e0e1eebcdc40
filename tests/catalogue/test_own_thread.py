"""The catalogue is taken in however many requests use the threads that a worker shares."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from config.settings import Settings
from tables.audit_actor import Actor
from tables.catalogue_change import Order, change_of
from tables.catalogue_commit import started_commit
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import plan_import
from tables.own_thread import OwnThread
from tests.catalogue.building import at_version, reading, ready, shop

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@asynccontextmanager
async def shared_threads_taken() -> AsyncIterator[None]:
    """The loop's own threads all wait, as for exports without an end."""
    let_go, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        let_go.wait()

    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    taken = loop.run_in_executor(None, wait)
    try:
        while not begun.is_set():  # noqa: ASYNC110  # a thread's event
            await asyncio.sleep(0)
        yield
    finally:
        let_go.set()
        await taken


async def test_a_change_is_in_place_though_every_shared_thread_is_taken(settings: Settings) -> None:
    current = TenantLog()
    planned = plan_import("demo", current, shop(3), "test", NOW, False)
    change = change_of("demo", current, planned, Order(actor=Actor("test"), at=NOW))
    async with reading(settings) as reader:
        await ready(reader)
        async with shared_threads_taken():
            commit = await started_commit(settings, 20)
            try:
                snapshot = await at_version(reader, await commit.write(change.catalogue, change.audit))
            finally:
                await commit.close()
            async with reading(settings) as later:
                await ready(later)
                assert len(later.snapshot.tenant("demo").entities) == 4
    assert len(snapshot.tenant("demo").entities) == 4


async def test_a_thread_tells_what_its_work_raises_and_begins_anew_after_it_was_closed() -> None:
    thread = OwnThread("test")
    assert await thread.run(divmod, 7, 2) == (3, 1)
    try:
        await thread.run(divmod, 7, 0)
    except ZeroDivisionError as error:
        assert "zero" in str(error)  # noqa: PT017  # the same error, not a copy
    else:
        raise AssertionError
    thread.close()
    assert await thread.run(divmod, 9, 2) == (4, 1)
    thread.close()
    thread.close()
