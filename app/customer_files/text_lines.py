"""The lines of a text file, none of which is held when it is longer than it may be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_SKIP_BYTES = 65_536
_MARK = b"\xef\xbb\xbf"


class TextLine(NamedTuple):
    """A line by its number, with its end; `text` is None when it is too long."""

    number: int
    text: bytes | None


class TextFile:
    """A file's lines, and how far they are read.

    Args:
        file: opened for bytes.
        line_bytes: a line's bound, its end left out.
    """

    def __init__(self, file: BinaryIO, line_bytes: int) -> None:
        self._file = file
        self._line_bytes = line_bytes
        #: Bytes read.
        self.position = 0
        #: The file's size; None when it has none, a pipe say.
        self.total = _size(file)

    def lines(self) -> Iterator[TextLine]:
        """Every line; a byte order mark before the first is left out."""
        number = 0
        while text := self._read(self._line_bytes + 2):
            number += 1
            too_long = len(text.rstrip(b"\r\n")) > self._line_bytes
            if too_long:
                while text and not text.endswith(b"\n"):
                    text = self._read(_SKIP_BYTES)
            elif number == 1:
                text = text.removeprefix(_MARK)
            yield TextLine(number, None if too_long else text)

    def _read(self, most: int) -> bytes:
        text = self._file.readline(most)
        self.position += len(text)
        return text


def _size(file: BinaryIO) -> int | None:
    try:
        found = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
