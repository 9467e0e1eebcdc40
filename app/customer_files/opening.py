"""A file of customers by what it is: CSV, Parquet or JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import NamedTuple

from app.customer_files.csv_rows import CsvRows
from app.customer_files.json_lines import JsonLines
from app.customer_files.parquet_rows import ParquetRows
from app.customer_files.row import FileProblem, Source

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

#: Standard input.
STDIN = "-"


class Reading(NamedTuple):
    """How a file is to be read; without `form`, as its name ends."""

    form: str | None = None
    replace: bool = False
    text: bool = False
    delimiter: str | None = None


@contextmanager
def opened(path: str, reading: Reading) -> Iterator[Source]:
    """The file, to be read once.

    Raises:
        FileProblem: it cannot be opened, or is none of the formats.
    """
    form = reading.form or _ENDINGS.get(PurePath(path).suffix.lower())
    if form is None:
        raise FileProblem(f"has none of the endings {' '.join(_ENDINGS)}: say --format")
    if form == "parquet":
        if path == STDIN:
            raise FileProblem("is Parquet, which cannot come from a pipe; name the file")
        yield ParquetRows(path, reading.replace)
        return
    try:
        file = sys.stdin.buffer if path == STDIN else open(path, "rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise FileProblem(f"cannot be opened: {error.strerror}") from error
    with file:
        if form == "jsonl":
            yield JsonLines(file, reading.replace)
        else:
            tabs = path.lower().endswith(".tsv")
            delimiter = reading.delimiter or ("\t" if tabs else ",")
            yield CsvRows(file, reading.replace, reading.text, delimiter)
