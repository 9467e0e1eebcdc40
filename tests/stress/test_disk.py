"""The shim makes a folder's disk full and slow, for RocksDB too, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.broker import in_ci
from tests.stress.disk import Disk, compile_shim

_PROGRAM = """
    import sys, time
    from rocksdict import Options, Rdict
    database = Rdict(sys.argv[1] + "/data/0.db", options=Options(raw_mode=True))
    for line in sys.stdin:
        began = time.monotonic()
        try:
            database[b"key"] = line.encode()
            open(sys.argv[1] + "/elsewhere", "w").write(line)
            print("written", flush=True)
        except Exception as error:
            print(error, flush=True)
        print(time.monotonic() - began, flush=True)
"""


class _Writer:
    """A process that writes to RocksDB, and to a file that is not on the disk, when told."""

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir()
        self.disk = Disk(compile_shim(folder), folder / "data", folder / "control")
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(folder)],
            env={**os.environ, **self.disk.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self) -> tuple[str, float]:
        """What came of it, and how many seconds it took."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("value\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip(), float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[_Writer]:
    if shutil.which("cc") is None and not in_ci():
        pytest.skip("needs a C compiler")
    writer = _Writer(tmp_path)
    yield writer
    writer.end()


def test_rocksdb_meets_a_full_disk(writer: _Writer) -> None:
    assert writer.write()[0] == "written"
    writer.disk.fill()
    assert "No space left on device" in writer.write()[0]


def test_rocksdb_meets_a_slow_disk_until_it_is_healed(writer: _Writer) -> None:
    assert writer.write()[0] == "written"
    writer.disk.slow(300)
    result, seconds = writer.write()
    assert result == "written"
    assert seconds >= 0.3
    writer.disk.heal()
    result, seconds = writer.write()
    assert result == "written"
    assert seconds < 0.3
