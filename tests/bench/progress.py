"""How many records a program has folded, read by another process while it runs.

A counter in a mapped file: writing it costs the measured program a tenth of a microsecond a record, reading
it costs that program nothing.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_COUNT = struct.Struct("<Q")


class Progress:
    """A counter shared through a file; made by whoever comes first."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_COUNT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _COUNT.size)

    def write(self, count: int) -> None:
        _COUNT.pack_into(self._map, 0, count)

    def read(self) -> int:
        count: int = _COUNT.unpack_from(self._map, 0)[0]
        return count
