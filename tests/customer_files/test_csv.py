"""CSV files of customers: columns, cells, and what is wrong with them."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from app.customer_files.csv_rows import CsvRows
from app.customer_files.row import LINE_MAX_BYTES, FileProblem, Row


def rows(table: str | bytes, **options: Any) -> list[Row]:
    raw = table if isinstance(table, bytes) else table.encode()
    return list(CsvRows(io.BytesIO(raw), **options).rows())


def bodies(table: str | bytes, **options: Any) -> list[dict[str, Any]]:
    found = rows(table, **options)
    assert not any(row.problems for row in found), found
    return [json.loads(row.line) for row in found]


def problems(table: str | bytes, **options: Any) -> list[tuple[int, str]]:
    return [
        (row.number, f"{one.field}: {one.message}") for row in rows(table, **options) for one in row.problems
    ]


def test_every_column_goes_where_it_is_called() -> None:
    text = (
        "\ufeffcustomerId,timeZone,locale,tags,consent.email,attributes.tier,city,locale.x\n"
        "C-1,Europe/Rome,it,vip; new ;,granted,gold,Roma,y\n"
    )
    assert bodies(text) == [
        {
            "customerId": "C-1",
            "timeZone": "Europe/Rome",
            "locale": "it",
            "tags": ["vip", "new"],
            "consent": {"email": "granted"},
            "attributes": {"tier": "gold", "city": "Roma", "locale.x": "y"},
        }
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1),
        ("-12", -12),
        ("0", 0),
        ("2.50", 2.5),
        ("-0.5", -0.5),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("007", "007"),
        ("+3", "+3"),
        ("1e3", "1e3"),
        ("1.", "1."),
        ("NaN", "NaN"),
        ("null", "null"),
        (" 1", " 1"),
        ("999999999999999", 999_999_999_999_999),
        ("1234567890123456", "1234567890123456"),
        ("٣", "٣"),
    ],
)
def test_cells_are_numbers_and_truths_only_when_they_look_like_json(cell: str, value: Any) -> None:
    text = f"customerId,a\nC-1,{cell}\n"
    (body,) = bodies(text)
    assert body["attributes"] == {"a": value}
    assert type(body["attributes"]["a"]) is type(value)
    assert bodies(text, text=True)[0]["attributes"] == {"a": cell}


def test_an_empty_cell_says_nothing_and_fields_stay_text() -> None:
    assert bodies("customerId,locale,tags,a\n0042,,7,\n9,true,,x\n") == [
        {"customerId": "0042", "tags": ["7"]},
        {"customerId": "9", "locale": "true", "attributes": {"a": "x"}},
    ]


def test_replace_is_said_of_each_row_and_other_delimiters_are_read() -> None:
    assert bodies("customerId;a\nC-1;1\n", delimiter=";", replace=True) == [
        {"replace": True, "customerId": "C-1", "attributes": {"a": 1}}
    ]


def test_rows_are_known_by_the_line_that_they_begin_on() -> None:
    found = rows('customerId,a\nC-1,"x\ny"\n\nC-2,z\n')
    assert [(row.number, row.customer_id) for row in found] == [(2, "C-1"), (5, "C-2")]
    assert json.loads(found[0].line)["attributes"] == {"a": "x\ny"}


def test_bad_rows_stop_no_other() -> None:
    text = b"customerId,a\nC-1,x,y\nC-2\n,z\nC-3,\xff\nC-4," + b"w" * (LINE_MAX_BYTES - 10) + b"\nC-5,ok\n"
    assert problems(text) == [
        (2, ": has 3 cells, the header has 2"),
        (3, ": has 1 cells, the header has 2"),
        (4, "customerId: is required"),
        (5, ": is not valid UTF-8"),
        (6, f": is longer than {LINE_MAX_BYTES} bytes"),
    ]
    assert rows(text)[-1].customer_id == "C-5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("id,name\n1,x\n", "has no column customerId; its columns: id, name"),
        ("customerId,,a\n", "has a column without a name, number 2"),
        ("customerId,a,a\n", "has the column a twice"),
        ("customerId,a,attributes.a\n", "has the column a twice"),
        ('customerId,a\nC-1,"x" y\n', "is no CSV from line 2 on"),
        ('customerId,a\nC-1,x\nC-2,"' + "never ends\n" * 100_000, "is no CSV from line 3 on"),
        (
            "customerId,a\nC-1," + "x" * (LINE_MAX_BYTES + 1),
            f"more than {LINE_MAX_BYTES} bytes in line 2",
        ),
    ],
)
def test_what_is_no_table_of_customers_is_a_problem_of_the_file(text: str, message: str) -> None:
    with pytest.raises(FileProblem, match=message):
        rows(text)
