"""Lines of files: bounded, whatever is in them; and JSON lines."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.customer_files.csv_rows import CsvRows
from app.customer_files.json_lines import JsonLines
from app.customer_files.loading import BATCH_BYTES, BATCH_ROWS, Tally, load
from app.customer_files.row import LINE_MAX_BYTES, FileProblem, Row
from app.customer_files.sending import Rejected
from app.customer_files.text_lines import TextFile

MOST = 8


@given(st.lists(st.integers(0, 30), max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_too_long_lines_are_told_and_others_are_whole(lengths: list[int], end: bytes, closed: bool) -> None:
    body = end.join(b"x" * length for length in lengths) + (end if closed else b"")
    file = TextFile(io.BytesIO(body), MOST)
    found = [(number, None if text is None else text.rstrip()) for number, text in file.lines()]
    expected = [
        (number, None if len(line) > MOST else line)
        for number, line in enumerate(body.split(b"\n"), 1)
        for line in [line.rstrip(b"\r")]
    ]
    if expected[-1][1] == b"" and (not body or body.endswith(b"\n")):
        expected.pop()
    assert found == expected
    assert file.position == len(body)


class Endless:
    """A file that is made as it is read: how much was asked for at once, and how much in all."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""
        self.given = self.longest = 0

    def readline(self, most: int = -1) -> bytes:
        """As files do: up to a line feed, `most` bytes, or the end."""
        while b"\n" not in self._rest and (most < 0 or len(self._rest) < most):
            more = next(self._lines, b"")
            if not more:
                break
            self._rest += more
        end = self._rest.find(b"\n") + 1 or len(self._rest)
        end = end if most < 0 else min(end, most)
        piece, self._rest = self._rest[:end], self._rest[end:]
        self.given += len(piece)
        self.longest = max(self.longest, len(piece))
        return piece

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize(
    ("kind", "line", "count"),
    [(CsvRows, b"C-1,gold\n", 200_000), (JsonLines, b'{"customerId":"C-1"}\n', 1_000_000)],
)
async def test_a_long_file_is_read_no_further_ahead_than_a_batch(kind: Any, line: bytes, count: int) -> None:
    """What is read of the file and not yet sent is bounded, however long the file is."""
    header = [b"customerId,tier\n"] if kind is CsvRows else []
    file = Endless(itertools.chain(header, itertools.repeat(line, count)))
    source = kind(cast(BinaryIO, file))
    tally, sent, furthest = Tally(), 0, 0

    async def send(rows: list[Row]) -> list[Rejected]:
        nonlocal sent, furthest
        furthest = max(furthest, file.given - sent * len(line))
        sent += len(rows)
        return []

    await load(source, cast(Any, send), lambda _: None, lambda _: None, tally)
    assert (tally.rows, tally.accepted) == (count, count)
    assert furthest <= (BATCH_ROWS + 3) * len(line) + 20
    assert file.longest <= LINE_MAX_BYTES + 2


def test_a_line_without_end_is_never_held() -> None:
    file = Endless(itertools.chain(itertools.repeat(b"x" * 50_000, 1_000), [b"\nnext\n"]))
    lines = list(TextFile(cast(BinaryIO, file), LINE_MAX_BYTES).lines())
    assert lines == [(1, None), (2, b"next\n")]
    assert file.longest <= LINE_MAX_BYTES + 2


async def test_large_rows_make_smaller_batches() -> None:
    line = json.dumps({"customerId": "C-1", "attributes": {"a": "x" * 60_000}}).encode() + b"\n"
    largest = 0

    async def send(rows: list[Row]) -> list[Rejected]:
        nonlocal largest
        largest = max(largest, sum(len(row.line) for row in rows))
        return []

    tally = Tally()
    await load(JsonLines(io.BytesIO(line * 200)), cast(Any, send), lambda _: None, lambda _: None, tally)
    assert tally.accepted == 200
    assert BATCH_BYTES <= largest < BATCH_BYTES + len(line)


def test_json_lines_go_as_they_are() -> None:
    body = (
        b'\xef\xbb\xbf{"customerId": "a"}\n\n{oops\n ["x"] \n'
        + b"x" * (LINE_MAX_BYTES + 1)
        + b'\n{"customerId": "b"}'
    )
    found = list(JsonLines(io.BytesIO(body)).rows())
    assert [(row.number, row.customer_id, row.line) for row in found] == [
        (1, "a", b'{"customerId": "a"}'),
        (3, None, b"{oops"),
        (4, None, b'["x"]'),
        (5, None, b""),
        (6, "b", b'{"customerId": "b"}'),
    ]
    assert [one.message for one in found[3].problems] == [f"is longer than {LINE_MAX_BYTES} bytes"]


def test_replace_is_added_unless_a_line_says_it_itself() -> None:
    body = b'{"customerId":"a"}\n{"customerId":"b","replace":false}\n'
    body += b'{"customerId":"c","attributes":{"replace":1}}'
    found = [json.loads(row.line) for row in JsonLines(io.BytesIO(body), replace=True).rows()]
    assert [one["replace"] for one in found] == [True, False, True]


def test_an_array_is_told_as_such() -> None:
    with pytest.raises(FileProblem, match="one object a line"):
        list(JsonLines(io.BytesIO(b'[\n{"customerId": "a"}\n]')).rows())


async def test_what_is_before_a_bad_end_of_a_file_is_sent() -> None:
    sent: list[Row] = []

    async def send(rows: list[Row]) -> list[Rejected]:
        sent.extend(rows)
        return []

    source = CsvRows(io.BytesIO(b'customerId\nC-1\nC-2\n"C-3'))
    with pytest.raises(FileProblem, match="from line 4 on"):
        await load(source, cast(Any, send), lambda _: None, lambda _: None, Tally())
    assert [row.customer_id for row in sent] == ["C-1", "C-2"]
