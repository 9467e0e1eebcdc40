"""The spool in its event loop: one flush for many, order by customer, bounds, and a life after another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.metrics import Metrics, new_metrics
from tables.spool import WINDOW, Spool, SpoolFullError
from tables.spool_files import SpoolError
from tables.spool_records import Spooled, encode_record
from tables.spool_slots import DIRECT_MAX

LIMIT = 1 << 20
NOW_MS = 1_800_000_000_000


def event(number: int, customer: str = "C1") -> Spooled:
    return Spooled("events", f"shop:{customer}".encode(), b"%d" % number, NOW_MS)


@asynccontextmanager
async def opened(folder: Path, limit: int = LIMIT, metrics: Metrics | None = None) -> AsyncIterator[Spool]:
    spool = Spool(folder, limit, lambda: NOW_MS + 5_000, metrics or new_metrics())
    await spool.open()
    try:
        yield spool
    finally:
        await spool.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


async def drain(spool: Spool) -> list[int]:
    """Take everything out, as if it were published."""
    taken: list[int] = []
    while True:
        records, end = await spool.window()
        if end == spool.begin:
            return taken
        taken += [int(record.value) for record in records]
        await spool.passed(records, end)


async def test_one_flush_serves_many_and_keeps_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush, flushes = os.fsync, 0

    def counted(descriptor: int) -> None:
        nonlocal flushes
        flushes += 1
        flush(descriptor)

    async with opened(tmp_path) as spool:
        await spool.append([event(0)])
        monkeypatch.setattr(os, "fsync", counted)
        await asyncio.gather(*(spool.append([event(number)]) for number in range(1, 101)))
        assert 1 <= flushes <= 3
        monkeypatch.undo()
        assert await drain(spool) == list(range(101))


async def test_a_customer_is_behind_from_the_call_until_all_is_published(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        key, other = event(0).key, event(0, "C2").key
        assert not spool.behind(key)
        appending = asyncio.create_task(spool.append([event(0), event(1)]))
        await asyncio.sleep(0)
        assert spool.behind(key), "before it is on the disk"
        await appending
        assert spool.behind(key)
        assert not spool.behind(other)
        records, end = await spool.window()
        assert spool.behind(key), "given out is not published"
        await spool.passed(records, end)
        assert not spool.behind(key)


async def test_while_kafka_is_away_everybody_is_behind(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        spool.stall()
        assert not spool.behind(b"any"), "nothing in it that would ever end this"
        await spool.append([event(0)])
        spool.stall()
        assert spool.behind(b"any")
        await drain(spool)
        assert not spool.behind(b"any")


async def test_few_of_a_customer_go_past_it_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        key = event(0).key
        with spool.direct(key, DIRECT_MAX - 1):
            assert not spool.behind(key)
            assert spool.behind(key, 2)
            with spool.direct(key):
                assert spool.behind(key)
        assert not spool.behind(key, DIRECT_MAX)
        # Twice at most: both together, below the ids that a fold remembers.
        assert DIRECT_MAX + WINDOW < 1_000 / 2


async def test_a_full_spool_refuses_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    metrics = new_metrics()
    size = len(encode_record(event(0)))
    async with opened(tmp_path, 10 * size, metrics) as spool:
        outcomes = await asyncio.gather(
            *(spool.append([event(number)]) for number in range(12)), return_exceptions=True
        )
        assert [isinstance(outcome, SpoolFullError) for outcome in outcomes] == [False] * 10 + [True] * 2
        assert metrics.spool_refused_total.labels("full")._value.get() == 2.0
        spool.observe()
        assert (metrics.spool_bytes._value.get(), metrics.spool_records._value.get()) == (10 * size, 10.0)
        assert metrics.spool_oldest_age_seconds._value.get() == 5.0
        assert await drain(spool) == list(range(10))
        spool.observe()
        assert (metrics.spool_bytes._value.get(), metrics.spool_records._value.get()) == (0.0, 0.0)
        await spool.append([event(12)])
        assert await drain(spool) == [12]


async def test_a_disk_that_fails_refuses_who_waits_and_holds_nobody_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    metrics = new_metrics()
    async with opened(tmp_path, LIMIT, metrics) as spool:
        monkeypatch.setattr(os, "fsync", broken)
        outcomes = await asyncio.gather(
            *(spool.append([event(number)]) for number in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, SpoolError) for outcome in outcomes)
        assert metrics.spool_refused_total.labels("disk")._value.get() == 3.0
        assert not spool.behind(event(0).key)
        monkeypatch.undo()
        await spool.append([event(3)])
        assert await drain(spool) == [3]


async def test_a_failure_of_any_kind_is_told_and_the_next_ones_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(descriptor: int) -> None:
        raise MemoryError

    async with opened(tmp_path) as spool, asyncio.timeout(10):
        await spool.append([event(0)])
        monkeypatch.setattr(os, "fsync", no_room)
        outcomes = await asyncio.gather(
            *(spool.append([event(number)]) for number in range(1, 4)), return_exceptions=True
        )
        assert all(isinstance(outcome, SpoolError) for outcome in outcomes)
        monkeypatch.undo()
        await spool.append([event(4)])
        assert await drain(spool) == [0, 4]
        assert not spool.behind(event(0).key)


async def test_a_spool_that_nothing_got_into_does_not_say_that_kafka_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only publishing ends that, and there is nothing to publish."""

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async with opened(tmp_path) as spool:
        monkeypatch.setattr(os, "fsync", broken)
        appending = asyncio.create_task(spool.append([event(0)]))
        await asyncio.sleep(0)
        spool.stall()
        assert spool.behind(b"any")
        with pytest.raises(SpoolError):
            await appending
        assert not spool.behind(b"any")


async def test_a_spool_of_damage_only_is_looked_at(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([event(0)])
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    metrics = new_metrics()
    async with opened(tmp_path, LIMIT, metrics) as spool:
        assert spool.filled.is_set()
        assert await drain(spool) == []
        assert metrics.spool_damaged_total._value.get() == 1.0
    assert segments(tmp_path) == []
    assert len(list((tmp_path / "set-aside").iterdir())) == 1


async def test_a_spool_that_is_not_open_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", LIMIT, lambda: NOW_MS, new_metrics())
    with pytest.raises(SpoolError):
        await spool.open()
    with pytest.raises(SpoolError, match="not open"):
        await spool.append([event(0)])
    assert not spool.behind(b"any"), "while Kafka is there it is not needed"
    (tmp_path / "file").unlink()
    await spool.open()
    await spool.append([event(1)])
    assert await drain(spool) == [1]
    await spool.close()


async def test_what_a_life_leaves_the_next_one_publishes_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([event(number) for number in range(300)])
        records, end = await spool.window()
        assert len(records) == WINDOW
        await spool.passed(records, end)
        # Given out, perhaps published, not noted: again.
        await spool.window()
    async with opened(tmp_path) as spool:
        assert spool.filled.is_set()
        assert spool.behind(event(0).key)
        await spool.append([event(300)])
        assert await drain(spool) == list(range(WINDOW, 301))


async def test_damage_is_counted_and_holds_nobody_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await spool.append([event(number) for number in range(3)])
    [path] = segments(tmp_path)
    metrics = new_metrics()
    async with opened(tmp_path, LIMIT, metrics) as spool:
        # After it was counted as a record.
        content = bytearray(path.read_bytes())
        content[len(encode_record(event(0))) + 20] ^= 1
        path.write_bytes(content)
        assert await drain(spool) == [0, 2]
        assert metrics.spool_damaged_total._value.get() == 1.0
        assert not spool.behind(event(1).key)


async def test_who_goes_away_while_it_is_written_leaves_it_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        appending = asyncio.create_task(spool.append([event(0)]))
        await asyncio.sleep(0)
        appending.cancel()
        await spool.append([event(1)])
        assert await drain(spool) == [0, 1]
