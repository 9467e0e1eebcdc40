"""A standby's copy: whole batches, in order, each once, and never from a log it cannot continue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from config.topics import DELETE_RETENTION_MS
from tables.control import ORIGIN, encode_control
from tables.layout import CONTROL_KEY, FENCE_KEY
from tables.standby import Standby, StandbyOutdatedError
from tables.store import PartitionStore, StoreMemory

NOW_MS = 1_800_000_000_000


class Record(NamedTuple):
    """A changelog record, as a consumer gives it."""

    offset: int
    key: bytes
    value: bytes | None


def control(offset: int, now_ms: int = NOW_MS) -> Record:
    return Record(
        offset, CONTROL_KEY, encode_control(msgspec.structs.replace(ORIGIN, batch=offset, now_ms=now_ms))
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    opened = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    yield opened
    opened.close()


def content(store: PartitionStore) -> dict[bytes, bytes]:
    return {key: value for key, value in store.scan(b"") if key[:1] not in (b"!", b"Z")}


def test_a_batch_is_applied_when_its_control_record_has_come(store: PartitionStore) -> None:
    copy = Standby(0, store)
    assert copy.follow([Record(0, FENCE_KEY, b"{}"), Record(1, b"Ba", b"1")], NOW_MS) == 0
    assert (content(store), store.offset, copy.position) == ({}, -1, 2)
    assert copy.follow([Record(2, b"Bb", b"2"), control(3), Record(4, b"Ba", b"3")], NOW_MS) == 3
    assert (content(store), store.offset, copy.position) == ({b"Ba": b"1", b"Bb": b"2"}, 3, 5)
    assert copy.follow([control(5), Record(6, b"Bb", None), control(7), Record(8, b"Bc", b"4")], NOW_MS) == 4
    assert (content(store), store.offset, store.control().batch) == ({b"Ba": b"3"}, 7, 7)


def test_holes_that_compaction_left_are_passed_over(store: PartitionStore) -> None:
    copy = Standby(0, store)
    assert copy.follow([Record(10, b"Ba", b"1"), control(90)], NOW_MS) == 2
    assert copy.follow([Record(400, b"Ba", b"2"), control(500)], NOW_MS) == 2
    assert (content(store), store.offset) == ({b"Ba": b"2"}, 500)


def test_a_torn_batch_is_applied_together_with_what_takes_it_back(store: PartitionStore) -> None:
    copy = Standby(0, store)
    copy.follow([Record(0, b"Ba", b"1"), control(1), Record(2, b"Ba", b"torn"), Record(3, b"Bx", b"torn")], 1)
    assert content(store) == {b"Ba": b"1"}
    copy.follow([Record(4, FENCE_KEY, b"{}"), Record(5, b"Ba", b"1"), Record(6, b"Bx", None), control(7)], 1)
    assert (content(store), store.offset) == ({b"Ba": b"1"}, 7)


def test_a_copy_that_was_closed_goes_on_from_its_store(store: PartitionStore) -> None:
    first = Standby(0, store)
    first.follow([Record(0, b"Ba", b"1"), control(1), Record(2, b"Ba", b"2")], NOW_MS)
    again = Standby(0, store)
    assert again.position == 2
    assert again.follow([Record(2, b"Ba", b"2"), control(3)], NOW_MS) == 2
    assert content(store) == {b"Ba": b"2"}


def test_a_log_that_goes_back_is_another_log(store: PartitionStore) -> None:
    copy = Standby(0, store)
    copy.follow([Record(7, b"Ba", b"1"), control(8)], NOW_MS)
    with pytest.raises(StandbyOutdatedError, match="at 3"):
        copy.follow([Record(3, b"Ba", b"0"), control(4)], NOW_MS)


def test_a_copy_that_may_have_missed_deletions_is_outdated(store: PartitionStore) -> None:
    copy = Standby(0, store)
    copy.follow([Record(0, b"Ba", b"1"), control(1)], NOW_MS)
    copy.note_end(2, NOW_MS, NOW_MS)
    copy.note_end(2, NOW_MS + 3 * DELETE_RETENTION_MS, NOW_MS + 3 * DELETE_RETENTION_MS)
    late_ms = NOW_MS + 4 * DELETE_RETENTION_MS
    # Level a day ago, though nothing was written for four.
    copy.follow([Record(2, b"Ba", b"2"), control(3)], late_ms)
    copy.note_end(9, late_ms, late_ms)
    with pytest.raises(StandbyOutdatedError, match="level"):
        copy.follow([Record(4, b"Ba", b"3"), control(5)], late_ms + 1)


def test_a_reopened_copy_is_as_old_as_its_last_batch(tmp_path: Path) -> None:
    memory = StoreMemory(8 << 20, 4 << 20)
    store = PartitionStore(tmp_path / "0.db", memory)
    Standby(0, store).follow([Record(0, b"Ba", b"1"), control(1)], NOW_MS)
    store.close()
    store = PartitionStore(tmp_path / "0.db", memory)
    assert store.level_ms == NOW_MS
    with pytest.raises(StandbyOutdatedError):
        Standby(0, store).follow([Record(2, b"Ba", b"2")], NOW_MS + DELETE_RETENTION_MS + 1)
    store.close()


def test_the_lag_is_what_was_not_read(store: PartitionStore) -> None:
    copy = Standby(0, store)
    assert copy.lag is None
    copy.follow([Record(0, b"Ba", b"1"), control(1)], NOW_MS)
    copy.note_end(5, NOW_MS, NOW_MS)
    assert copy.lag == 3


def test_a_copy_that_hears_nothing_is_not_level(store: PartitionStore) -> None:
    copy = Standby(0, store)
    copy.follow([Record(0, b"Ba", b"1"), control(1)], NOW_MS)
    copy.note_end(2, NOW_MS, NOW_MS)
    assert (copy.lag, copy.usable, store.level_ms) == (0, True, NOW_MS)
    late_ms = NOW_MS + 2 * DELETE_RETENTION_MS
    copy.note_end(2, NOW_MS, late_ms)
    assert (copy.lag, copy.usable, store.level_ms) == (None, True, NOW_MS)
    with pytest.raises(StandbyOutdatedError, match="level"):
        copy.follow([Record(2, b"Ba", b"2"), control(3)], late_ms)
