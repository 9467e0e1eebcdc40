"""Parquet: a customer a row, values of the types that the file says. Needs the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.customer_files.columns import Columns
from app.customer_files.row import FileProblem, Row

#: Rows decoded at once.
GROUP_ROWS = 1_000

_MISSING = "is Parquet, which needs pyarrow: pip install 'offertide[parquet]'"


class ParquetRows:
    """A Parquet file.

    Args:
        path: where it is.
        replace: whether what a row does not name is forgotten.

    Raises:
        FileProblem: it is none, or pyarrow is not installed.
    """

    def __init__(self, path: str, replace: bool = False) -> None:
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise FileProblem(_MISSING) from error
        self._broken: tuple[type[Exception], ...] = (ArrowException, OSError)
        try:
            self._file: Any = ParquetFile(path, memory_map=True, pre_buffer=False)
        except self._broken as error:
            raise FileProblem(f"is no Parquet file that can be read: {error}") from error
        self._columns = Columns(self._file.schema_arrow.names, replace)
        #: Rows read, and there are.
        self.position = 0
        self.total: int | None = self._file.metadata.num_rows

    def rows(self) -> Iterator[Row]:
        """Every row, from 1."""
        names = self._file.schema_arrow.names
        for group in self._groups():
            cells = [group.column(name).to_pylist() for name in names]
            for values in zip(*cells, strict=True):
                self.position += 1
                yield self._columns.row(self.position, values)

    def _groups(self) -> Iterator[Any]:
        groups = self._file.iter_batches(batch_size=GROUP_ROWS)
        while True:
            try:
                group = next(groups, None)
            except self._broken as error:
                raise FileProblem(f"cannot be read behind row {self.position}: {error}") from error
            if group is None:
                return
            yield group
