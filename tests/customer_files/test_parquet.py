"""Parquet files of customers."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.customer_files.parquet_rows import GROUP_ROWS, ParquetRows
from app.customer_files.row import FileProblem, Row
from tests.kafka.broker import in_ci

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    if in_ci():
        raise
    pytest.skip("needs pyarrow: pip install -e '.[parquet]'", allow_module_level=True)


def written(folder: Path, columns: dict[str, Any]) -> str:
    path = folder / "customers.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def rows(folder: Path, columns: dict[str, Any], **options: Any) -> list[Row]:
    return list(ParquetRows(written(folder, columns), **options).rows())


def test_values_keep_their_types(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        {
            "customerId": ["C-1", "C-2"],
            "tags": [["vip", "new"], None],
            "consent.email": ["granted", None],
            "age": [41, None],
            "spend": [29.5, None],
            "member": [True, None],
            "likes": [["jazz"], []],
            "born": [date(1980, 2, 29), None],
            "seen": [datetime(2026, 1, 1, tzinfo=UTC), None],
            "credit": [Decimal("1.50"), None],
            "attributes": [{"a": 1, "b": "x"}, None],
        },
    )
    assert [row.problems for row in found] == [(), ()]
    assert json.loads(found[0].line) == {
        "customerId": "C-1",
        "tags": ["vip", "new"],
        "consent": {"email": "granted"},
        "attributes": {
            "age": 41,
            "spend": 29.5,
            "member": True,
            "likes": ["jazz"],
            "born": "1980-02-29",
            "seen": "2026-01-01T00:00:00+00:00",
            "credit": 1.5,
            "a": 1,
            "b": "x",
        },
    }
    assert json.loads(found[1].line) == {"customerId": "C-2", "attributes": {"likes": []}}


def test_what_no_attribute_can_be_is_a_bad_row(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        {
            "customerId": ["C-1", "C-2", None, "C-4"],
            "raw": [b"x", None, None, None],
            "n": [1.0, float("nan"), 1.0, 2.0],
            "deep": [None, [[1]], None, None],
        },
    )
    assert [[(one.field, one.message) for one in row.problems] for row in found] == [
        [("attributes.raw", "is of a type that no attribute can be: bytes")],
        [
            ("attributes.n", "is no finite number"),
            ("attributes.deep", "is of a type that no attribute can be: list"),
        ],
        [("customerId", "is required")],
        [],
    ]


def test_ids_may_be_numbers_and_rows_come_in_groups(tmp_path: Path) -> None:
    count = GROUP_ROWS * 2 + 1
    source = ParquetRows(written(tmp_path, {"customerId": list(range(count))}), replace=True)
    assert source.total == count
    found = source.rows()
    first = next(found)
    assert (source.position, json.loads(first.line)) == (1, {"replace": True, "customerId": "0"})
    assert [row.number for row in found] == list(range(2, count + 1))


def test_what_is_no_parquet_is_a_problem_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("customerId\nC-1\n")
    with pytest.raises(FileProblem, match="no Parquet file"):
        ParquetRows(str(path))
    with pytest.raises(FileProblem, match="No such file"):
        ParquetRows(str(tmp_path / "none.parquet"))
    with pytest.raises(FileProblem, match="no column customerId"):
        ParquetRows(written(tmp_path, {"id": [1]}))


def test_without_pyarrow_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(FileProblem, match=r"pip install 'offertide\[parquet\]'"):
        ParquetRows(str(tmp_path / "x.parquet"))
