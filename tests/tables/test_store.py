"""The partition store: atomic batches that carry their offset, bounded memory, refused formats."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rocksdict import Options, Rdict

from tables.control import ORIGIN, Control, Mark, decode_control, encode_control
from tables.layout import CONTROL_KEY, FORMAT_KEY, StateFormatError
from tables.store import PartitionStore, StoreGapError, StoreMemory


@pytest.fixture
def memory() -> StoreMemory:
    return StoreMemory(8 << 20, 4 << 20)


def test_a_batch_and_its_offset_are_there_after_reopening(tmp_path: Path, memory: StoreMemory) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    store.apply([(b"Ba", b"1"), (b"Bb", b"2")], 0, 1)
    store.apply([(b"Ba", None), (b"Bc", b"3")], 2, 3)
    store.close()
    again = PartitionStore(tmp_path / "0.db", memory)
    assert again.offset == 3
    assert list(again.scan(b"B")) == [(b"Bb", b"2"), (b"Bc", b"3")]


@pytest.mark.parametrize(("first", "last"), [(1, 2), (0, 1), (2, 1)])
def test_a_batch_that_does_not_continue_is_refused(
    tmp_path: Path, memory: StoreMemory, first: int, last: int
) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    store.apply([(b"Ba", b"1")], 0, 1)
    with pytest.raises(StoreGapError):
        store.apply([(b"Ba", b"2")], first, last)
    assert store.get(b"Ba") == b"1"
    assert store.offset == 1


def test_a_batch_after_a_compaction_hole_is_applied(tmp_path: Path, memory: StoreMemory) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    store.apply([(b"Ba", b"1")], 0, 0)
    store.apply([(b"Ba", b"2")], 7, 9)
    assert store.offset == 9


def test_a_foreign_store_format_is_refused_and_left_alone(tmp_path: Path, memory: StoreMemory) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    store.apply([(FORMAT_KEY, b"offertide-store-99"), (b"Ba", b"1")], 0, 0)
    store.close()
    with pytest.raises(StateFormatError, match="offertide-store-99"):
        PartitionStore(tmp_path / "0.db", memory)


def test_what_keeps_a_store_shut_is_told_also_when_it_does_not_close(
    tmp_path: Path, memory: StoreMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    store.apply([(FORMAT_KEY, b"offertide-store-99")], 0, 0)
    store.close()

    def not_closing(path: str, options: Options) -> Any:
        db = Rdict(path, options=options)

        def close() -> None:
            db.close()
            raise OSError("No space left on device")

        return SimpleNamespace(get=db.get, close=close)

    monkeypatch.setattr("tables.store.Rdict", not_closing)
    with pytest.raises(StateFormatError, match="offertide-store-99"):
        PartitionStore(tmp_path / "0.db", memory)


def test_control_says_the_position_and_an_unknown_version_is_refused(
    tmp_path: Path, memory: StoreMemory
) -> None:
    store = PartitionStore(tmp_path / "0.db", memory)
    assert store.control() == ORIGIN
    marks = (Mark(4, 1_700_000_000_000, 2**32 - 1), *[None] * 5)
    control = Control(0, 4, (5, 0, 2, 1, 0, 0), ((0, 3, 5), (2, 0, 2)), 1_700_000_000_000, 17, 3, 2, marks)
    store.apply([(CONTROL_KEY, encode_control(control))], 0, 0)
    assert store.control() == control
    with pytest.raises(StateFormatError, match="version 9"):
        decode_control(b"\x09" + encode_control(control)[1:])


def test_a_control_record_from_before_a_topic_existed_begins_it_at_zero() -> None:
    control = Control(0, 1, (5, 4), (), 1, 1, 0, 0)
    decoded = decode_control(encode_control(control))
    assert (decoded.positions, decoded.marks) == ((5, 4, 0, 0, 0, 0), (None,) * 6)


_BEFORE_EVIDENCE = Control(
    0, 4, (5, 0, 2, 1, 0, 0), ((0, 3, 5), (2, 0, 2)), 1_700_000_000_000, 17, 3, 2,
    (Mark(4, 1_700_000_000_000, 2**32 - 1), *[None] * 5),
)  # fmt: skip
_WITH_EVIDENCE = msgspec.structs.replace(
    _BEFORE_EVIDENCE, positions=(5, 0, 2, 1, 0, 6), marks=(*_BEFORE_EVIDENCE.marks[:5], Mark(5, 1, 2))
)


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("01990004950500020100929300030593020002cf0000018bcfe56800110302959304cf0000018bcfe56800ceffffffff"
         "c0c0c0c0", _BEFORE_EVIDENCE),
        ("0299000496050002010006929300030593020002cf0000018bcfe56800110302969304cf0000018bcfe56800ceffffffff"
         "c0c0c0c093050102", _WITH_EVIDENCE),
    ],
    ids=["version 1", "version 2"],
)  # fmt: skip
def test_the_control_record_of_every_version_stays_readable(stored: str, meant: Control) -> None:
    assert decode_control(bytes.fromhex(stored)) == meant


def test_a_program_that_knows_no_evidence_refuses_the_control_record() -> None:
    # It reads version 1 only, and would fail over a position too many.
    assert encode_control(_WITH_EVIDENCE)[0] == 2


_WRITER = """
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tables.store import PartitionStore, StoreMemory
store = PartitionStore(Path(sys.argv[1]), StoreMemory(8 << 20, 4 << 20))
offset = 0
while True:
    value = str(offset).encode()
    store.apply([(b"B" + str(i).encode(), value) for i in range(50)], offset, offset + 49)
    offset += 50
    print(offset, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches_only(tmp_path: Path, memory: StoreMemory) -> None:
    path = tmp_path / "0.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    )
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < 20_000:
        acknowledged = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = PartitionStore(path, memory)
    assert store.offset + 1 >= acknowledged
    assert {value for _, value in store.scan(b"B")} == {str(store.offset - 49).encode()}


def test_memory_of_all_partitions_together_is_bounded(tmp_path: Path) -> None:
    """24 partitions of stock Faust may take 4.6 GiB of buffers and 48 GiB of cache."""
    budget = 16 << 20
    shared = StoreMemory(2 * budget, budget)
    stores = [PartitionStore(tmp_path / f"{number}.db", shared) for number in range(24)]
    value = os.urandom(1_000)
    for batch in range(24):
        for store in stores:
            first = batch * 100
            store.apply([(b"B%d" % (first + i), value) for i in range(100)], first, first + 99)
        # Flushes run behind writes; what must not happen is that they never catch up.
        _wait_until(lambda: shared.write_buffers.get_usage() <= 3 * budget)
    assert shared.write_buffers.get_usage() <= 3 * budget
    _wait_until(lambda: shared.cache.get_usage() <= 4 * budget)
    assert shared.cache.get_usage() <= 4 * budget, "the buffers are charged to it"
    for store in stores:
        store.close()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
