"""A worker's disk, which can be filled and slowed: the shim in `disk_faults.c`, and its control file.

Rules:

1.  The shim stands between RocksDB and the C library, so that a full disk is a real ENOSPC at a real write,
    wherever RocksDB makes one. Only files under the worker's data folder are concerned.
2.  Without the shim, for runs without disk faults, no compiler is needed and nothing can be made to fail.
3.  The control file is mapped by the worker: a change takes effect with its next write.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("disk_faults.c")
_CONTROL = struct.Struct("=ii")
_COMPILE_TIMEOUT_S = 60.0


class NoCompilerError(RuntimeError):
    """There is no C compiler for the shim; the message says how to get one."""


def compile_shim(folder: Path) -> Path:
    """The shim as a shared library in `folder`.

    Raises:
        NoCompilerError: there is no `cc`, or it failed.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompilerError("disk faults need a C compiler: install gcc, or leave them out with --faults")
    library = folder / "disk_faults.so"
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise NoCompilerError(f"the shim does not compile:\n{done.stderr}")
    return library


class Disk:
    """The disk under one folder, as the processes with `environment` see it."""

    def __init__(self, library: Path | None, folder: Path, control: Path) -> None:
        control.write_bytes(_CONTROL.pack(0, 0))
        self.environment: dict[str, str] = {}
        if library is not None:
            self.environment = {
                "LD_PRELOAD": str(library),
                "STRESS_DISK_FOLDER": str(folder),
                "STRESS_DISK_CONTROL": str(control),
            }
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _CONTROL.size)

    def fill(self) -> None:
        """Writes fail with ENOSPC from now."""
        self._map[:] = _CONTROL.pack(1, 0)

    def slow(self, write_ms: int) -> None:
        """Each write and sync waits so many milliseconds from now."""
        self._map[:] = _CONTROL.pack(0, write_ms)

    def heal(self) -> None:
        """All is well from now."""
        self._map[:] = _CONTROL.pack(0, 0)
