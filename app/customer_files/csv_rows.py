"""CSV: a header, and a customer a row. A number, true or false is sent as such, unless all is to stay text.

An empty cell says nothing. What is written like a JSON number is one, if state can hold it exactly: `007`,
`+3`, `1,5` and numbers of more than 15 digits stay text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from app.customer_files.columns import CUSTOMER_ID, TAGS, Columns
from app.customer_files.row import LINE_MAX_BYTES, FileProblem, Row, bad
from app.customer_files.text_lines import TextFile

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_WORDS = {"true": True, "false": False}
_ALWAYS_TEXT = frozenset({CUSTOMER_ID, TAGS, "timeZone", "locale"})


class CsvRows:
    """A CSV file in UTF-8.

    Args:
        file: opened for bytes.
        replace: whether what a row does not name is forgotten.
        text: whether every attribute stays text.
        delimiter: between cells, one character.
    """

    def __init__(
        self, file: BinaryIO, replace: bool = False, text: bool = False, delimiter: str = ","
    ) -> None:
        self._text = TextFile(file, LINE_MAX_BYTES)
        self._replace = replace
        self._as_text = text
        self._delimiter = delimiter

    @property
    def position(self) -> int:
        """Bytes read."""
        return self._text.position

    @property
    def total(self) -> int | None:
        """The file's size."""
        return self._text.total

    def rows(self) -> Iterator[Row]:
        """Every row behind the header, by the line that it begins on."""
        # A quote that never ends would take the rest of the file into one cell.
        csv.field_size_limit(LINE_MAX_BYTES)
        reader = csv.reader(self._decoded(), delimiter=self._delimiter, strict=True)
        records = self._records(reader)
        header = next(records, None)
        if header is None:
            raise FileProblem("is empty; its first line must name the columns")
        names = [name.strip() for name in header[1]]
        columns = Columns(names, self._replace)
        typed = [not self._as_text and name not in _ALWAYS_TEXT for name in names]
        for number, cells in records:
            yield self._row(number, cells, columns, typed)

    def _records(self, reader: Any) -> Iterator[tuple[int, list[str]]]:
        begins = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise FileProblem(f"is no CSV from line {begins} on: {error}") from error
            if cells is None:
                return
            if cells:
                yield begins, cells
            begins = reader.line_num + 1

    def _decoded(self) -> Iterator[str]:
        for number, text in self._text.lines():
            if text is None:
                raise FileProblem(f"has more than {LINE_MAX_BYTES} bytes in line {number}")
            yield text.decode("utf-8", "surrogateescape")

    def _row(self, number: int, cells: list[str], columns: Columns, typed: list[bool]) -> Row:
        if len(cells) != len(typed):
            return bad(number, f"has {len(cells)} cells, the header has {len(typed)}")
        if any(not cell.isascii() and _is_broken(cell) for cell in cells):
            return bad(number, "is not valid UTF-8")
        values = [_typed(cell) if infers else cell or None for cell, infers in zip(cells, typed, strict=True)]
        return columns.row(number, values)


def _typed(cell: str) -> str | int | float | bool | None:
    if not cell:
        return None
    if cell in _WORDS:
        return _WORDS[cell]
    if _INTEGER.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell


def _is_broken(cell: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in cell)
