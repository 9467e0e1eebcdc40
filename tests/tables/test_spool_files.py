"""The spool's folder: what was flushed is there after any crash, once published it is gone."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tables.spool_files import SpoolError, SpoolFiles
from tables.spool_mark import Mark, Position
from tables.spool_records import Spooled, encode_record


def record(number: int, size: int = 10) -> Spooled:
    return Spooled("events", b"shop:C1", b"%d " % number + b"x" * size, number)


def encoded(*numbers: int) -> bytes:
    return b"".join(encode_record(record(number)) for number in numbers)


def numbers(files: SpoolFiles) -> list[int]:
    """Of the records that wait."""
    return [waiting.at_ms for waiting in files.waiting()]


@contextmanager
def opened(folder: Path, segment_bytes: int = 200) -> Iterator[SpoolFiles]:
    files = SpoolFiles(folder, segment_bytes)
    files.open()
    try:
        yield files
    finally:
        files.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def test_what_was_appended_is_there_in_order_over_all_segments(tmp_path: Path) -> None:
    with opened(tmp_path) as files:
        for number in range(20):
            files.append(encoded(number))
        assert len(segments(tmp_path)) > 3
    with opened(tmp_path) as files:
        assert numbers(files) == list(range(20))


def test_what_is_published_is_deleted_and_does_not_come_back(tmp_path: Path) -> None:
    with opened(tmp_path) as files:
        for number in range(20):
            files.append(encoded(number))
        size = files.size
        files.passed(files.read(7, 1_000_000).end)
        assert files.size < size
        assert numbers(files) == list(range(7, 20))
    with opened(tmp_path) as files:
        assert numbers(files) == list(range(7, 20))
        files.append(encoded(20))
        files.passed(files.read(100, 1_000_000).end)
        assert files.drained
        assert segments(tmp_path) == []
        # A mark of an earlier segment says nothing about later ones.
        files.append(encoded(21))
    with opened(tmp_path) as files:
        assert numbers(files) == [21]


def test_a_window_is_bounded_in_records_and_bytes(tmp_path: Path) -> None:
    with opened(tmp_path, 1_000_000) as files:
        files.append(b"".join(encode_record(record(number, 1_000)) for number in range(10)))
        assert len(files.read(4, 1_000_000).records) == 4
        assert len(files.read(100, 3_500).records) == 3
        assert len(files.read(100, 1).records) == 1, "the first one is always read"


@pytest.mark.parametrize("tail", [b"\xff", b"\xffSP1", encoded(9)[:-1]])
def test_a_torn_tail_is_set_aside_and_cut_and_the_rest_is_there(
    tmp_path: Path, tail: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2))
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(tail)
    with opened(tmp_path, 10_000) as files:
        assert numbers(files) == [1, 2]
        assert files.size == len(encoded(1, 2))
        files.append(encoded(3))
        assert numbers(files) == [1, 2, 3]
        read = files.read(9, 10_000)
        assert read.damaged == 0
        files.passed(read.end)
    [kept] = (tmp_path / "set-aside").iterdir()
    assert kept.read_bytes() == tail
    assert "half a record" in capsys.readouterr().out


def test_half_a_record_that_cannot_be_set_aside_yet_holds_nothing_before_it_back(tmp_path: Path) -> None:
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2))
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(encoded(9)[:-1])
    (tmp_path / "set-aside").write_text("as a full disk would refuse the folder")
    with opened(tmp_path, 10_000) as files:
        read = files.read(9, 10_000)
        assert [one.at_ms for one in read.records] == [1, 2]
        files.passed(read.end)
        with pytest.raises(SpoolError, match="cannot be written"):
            files.read(9, 10_000)
        (tmp_path / "set-aside").unlink()
        read = files.read(9, 10_000)
        assert (read.records, read.damaged) == ([], 1)
        files.passed(read.end)
        assert files.drained
    [kept] = (tmp_path / "set-aside").iterdir()
    assert kept.read_bytes() == encoded(9)[:-1]


@pytest.mark.parametrize("flipped", ["mark", "length", "body"])
def test_damage_in_the_last_record_does_not_vanish(
    tmp_path: Path, flipped: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was acknowledged. A length that is damaged may look as if a crash had left the record."""
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2))
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(encoded(1)) + {"mark": 1, "length": 6, "body": 20}[flipped]] ^= 1
    path.write_bytes(content)
    with opened(tmp_path, 10_000) as files:
        read = files.read(9, 10_000)
        assert [one.at_ms for one in read.records] == [1]
        assert read.damaged == (0 if flipped == "length" else 1)
        files.passed(read.end)
        assert files.drained
    [kept] = (tmp_path / "set-aside").iterdir()
    assert kept.read_bytes() == bytes(content[len(encoded(1)) :])
    assert "set aside" in capsys.readouterr().out


def test_a_tail_of_zeros_is_damage(tmp_path: Path) -> None:
    """As a file system may leave it after a loss of power; what it was nobody knows."""
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1))
    with segments(tmp_path)[-1].open("ab") as file:
        file.write(bytes(5_000))
    with opened(tmp_path, 10_000) as files:
        read = files.read(9, 10_000)
        assert ([one.at_ms for one in read.records], read.damaged) == ([1], 1)
        files.passed(read.end)
        assert files.drained


def test_a_mark_beyond_its_segment_is_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2, 3))
        files.passed(files.read(2, 10_000).end)
    with segments(tmp_path)[0].open("r+b") as file:
        file.truncate(len(encoded(1)))
    with opened(tmp_path, 10_000) as files:
        assert "is lost" in capsys.readouterr().out
        assert (numbers(files), files.drained) == ([], True)
        files.append(encoded(4))
        assert numbers(files) == [4]


def test_what_is_cut_lies_behind_the_mark(tmp_path: Path) -> None:
    """Damage before the mark is nobody's any more, and must not take along what follows it."""
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2))
        files.passed(files.read(1, 10_000).end)
    [path] = segments(tmp_path)
    content = bytearray(path.read_bytes()[:-1])
    content[6] ^= 1
    path.write_bytes(content)
    with opened(tmp_path, 10_000) as files:
        assert files.drained
    [kept] = (tmp_path / "set-aside").iterdir()
    assert kept.read_bytes() == encoded(2)[:-1]


def test_a_folder_that_is_removed_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "spool"
    with opened(folder, 10_000) as files:
        shutil.rmtree(folder)
        files.append(encoded(1))
        assert numbers(files) == [1]
        shutil.rmtree(folder)
        # The segment that is open has no name any more: what is written there nobody would find.
        files.append(encoded(2, 3))
        assert numbers(files) == [2, 3]
        read = files.read(1, 10_000)
        assert ([one.at_ms for one in read.records], read.damaged) == ([2], 1)
        assert "was removed" in capsys.readouterr().out
        files.passed(read.end)
    with opened(folder, 10_000) as files:
        assert numbers(files) == [3]


def test_a_removed_folder_is_passed_and_its_loss_said(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with opened(folder, 10_000) as files:
        files.append(encoded(1))
        shutil.rmtree(folder)
        read = files.read(9, 10_000)
        assert (read.records, read.damaged) == ([], 1)
        files.passed(read.end)
        assert files.drained


def test_damage_in_the_middle_is_set_aside_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path) as files:
        for number in range(8):
            files.append(encoded(number))
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    # The length of the second record, so that nothing says where it ends.
    content[len(encoded(0)) + 5] ^= 0x40
    path.write_bytes(content)
    with opened(tmp_path) as files:
        read = files.read(100, 1_000_000)
        assert [one.at_ms for one in read.records] == [0, 2, 3, 4, 5, 6, 7]
        assert read.damaged == 1
        [kept] = (tmp_path / "set-aside").iterdir()
        assert kept.read_bytes() == bytes(content[len(encoded(0)) : len(encoded(0, 1))])
        assert "damaged" in capsys.readouterr().out
        files.passed(read.end)
        assert files.drained


def test_a_write_that_fails_leaves_nothing_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        write(descriptor, bytes(data)[:30])
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1))
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(SpoolError, match="No space left"):
            files.append(encoded(2, 3))
        monkeypatch.undo()
        files.append(encoded(4))
        assert numbers(files) == [1, 4]
    with opened(tmp_path, 10_000) as files:
        assert numbers(files) == [1, 4]
        assert files.read(9, 10_000).damaged == 0


def test_a_flush_that_fails_is_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1))
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(SpoolError, match="Input/output"):
            files.append(encoded(2))
        # Nor is it taken back while the disk fails: nothing may be appended behind it.
        with pytest.raises(SpoolError, match="Input/output"):
            files.append(encoded(3))
        monkeypatch.undo()
        files.append(encoded(4))
    with opened(tmp_path, 10_000) as files:
        assert numbers(files) == [1, 4]


def test_a_full_disk_does_not_keep_the_spool_from_being_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path, 10_000) as files:
        files.append(encoded(1, 2, 3))
        place = os.stat(tmp_path / "mark").st_size
        files.passed(files.read(1, 10_000).end)
        files.passed(files.read(1, 10_000).end)
        assert os.stat(tmp_path / "mark").st_size == place, "written in place"
        assert numbers(files) == [3]


def test_another_process_is_kept_out(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tables.spool_files import SpoolError, SpoolFiles\n"
        "try: SpoolFiles(Path(sys.argv[1])).open()\n"
        "except SpoolError as error: sys.exit(str(error))"
    )

    def other() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    with opened(tmp_path):
        refused = other()
        assert refused.returncode == 1
        assert "in use by another process" in refused.stderr
    assert other().returncode == 0


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolError, match="cannot be opened"):
        SpoolFiles(tmp_path / "file" / "spool").open()


def test_the_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    newer = tmp_path / f"{3:020d}.v2.spool"
    newer.write_bytes(b"what this program does not know")
    with pytest.raises(SpoolError, match="run a newer one"):
        SpoolFiles(tmp_path).open()
    assert newer.exists()
    newer.unlink()
    with opened(tmp_path) as files:
        assert files.drained, "the lock was let go"


@pytest.mark.parametrize("place", [0, 4_096])
def test_a_torn_mark_is_the_one_before(tmp_path: Path, place: int) -> None:
    mark = Mark(tmp_path)
    mark.read()
    for offset in (10, 20, 30):
        mark.write(Position(1, offset))
    with (tmp_path / "mark").open("r+b") as file:
        file.seek(place)
        file.write(b"1 99")
    kept = Mark(tmp_path)
    assert kept.read() == Position(1, 20 if place == 0 else 30)
    kept.write(Position(1, 40))
    kept.write(Position(1, 50))
    assert Mark(tmp_path).read() == Position(1, 50)


class Folder(RuleBasedStateMachine):
    """Appends, windows and crashes at any byte, against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-"))
        self.waiting: list[int] = []
        self.next = 0
        self.files = SpoolFiles(self.folder, 150)
        self.files.open()

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        new = list(range(self.next, self.next + count))
        self.next += count
        self.files.append(encoded(*new))
        self.waiting += new

    @rule(count=st.integers(1, 6))
    def publish(self, count: int) -> None:
        read = self.files.read(count, 1_000_000)
        assert [one.at_ms for one in read.records] == self.waiting[:count]
        self.files.passed(read.end)
        del self.waiting[:count]

    @rule()
    def open_again(self) -> None:
        self.files.close()
        self.files = SpoolFiles(self.folder, 150)
        self.files.open()

    @rule(count=st.integers(1, 4), cut=st.integers(0, 400))
    def crash_in_an_append(self, count: int, cut: int) -> None:
        """The bytes up to any one are there; what was not told to be there may be, whole and in order."""
        before = list(self.waiting)
        sizes = {path: path.stat().st_size for path in segments(self.folder)}
        self.append(count)
        self.files.close()
        newest = segments(self.folder)[-1]
        size = sizes.get(newest, 0)
        with newest.open("r+b") as file:
            file.truncate(min(size + cut, newest.stat().st_size))
        self.files = SpoolFiles(self.folder, 150)
        self.files.open()
        self.waiting = numbers(self.files)
        new = list(range(self.next - count, self.next))
        assert self.waiting == before + new[: len(self.waiting) - len(before)]

    @rule(count=st.integers(1, 6))
    def crash_before_the_mark(self, count: int) -> None:
        """What was published and not noted is read again: that window, and nothing before it."""
        self.files.read(count, 1_000_000)
        self.open_again()

    @invariant()
    def all_that_waits_is_there(self) -> None:
        assert numbers(self.files) == self.waiting
        assert self.files.drained == (not self.waiting)

    def teardown(self) -> None:
        self.files.close()
        shutil.rmtree(self.folder)


TestFolder = Folder.TestCase
TestFolder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
