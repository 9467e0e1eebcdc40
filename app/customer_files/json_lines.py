"""JSON lines: each one goes to the worker as it is, which says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from app.customer_files.row import LINE_MAX_BYTES, FileProblem, Row, bad
from app.customer_files.text_lines import TextFile


class _Named(msgspec.Struct, rename="camel"):
    """What is read of a line here."""

    customer_id: str


_named = msgspec.json.Decoder(_Named)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])


class JsonLines:
    """A file with a JSON object a line.

    Args:
        file: opened for bytes.
        replace: whether what a line does not name is forgotten, unless the line says so itself.
    """

    def __init__(self, file: BinaryIO, replace: bool = False) -> None:
        self._text = TextFile(file, LINE_MAX_BYTES)
        self._replace = replace

    @property
    def position(self) -> int:
        """Bytes read."""
        return self._text.position

    @property
    def total(self) -> int | None:
        """The file's size."""
        return self._text.total

    def rows(self) -> Iterator[Row]:
        """Every line that is not blank."""
        for number, text in self._text.lines():
            if text is None:
                yield bad(number, f"is longer than {LINE_MAX_BYTES} bytes")
            elif line := text.strip():
                if number == 1 and line == b"[":
                    raise FileProblem("is a JSON array; write one object a line (jq -c '.[]')")
                yield self._row(number, line)

    def _row(self, number: int, line: bytes) -> Row:
        try:
            customer_id = _named.decode(line).customer_id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The worker finds all that is wrong with it.
            return Row(number, None, line)
        if self._replace and "replace" not in _parts.decode(line):
            line = line[:-1] + b',"replace":true}'
        return Row(number, customer_id, line)
