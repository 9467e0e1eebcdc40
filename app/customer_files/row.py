"""One customer of a file, as the line of a bulk load that it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from app.decision.refusals import Problem

#: A line of a bulk load, at most; the worker says the same (`web.bulk_line`).
LINE_MAX_BYTES = 262_144

encode = msgspec.json.Encoder().encode


class FileProblem(Exception):
    """Why the file, or the rest of it, cannot be read, in words for who made it."""


class Row(NamedTuple):
    """A row by its number. `line` is empty when `problems` is not."""

    number: int
    customer_id: str | None
    line: bytes
    problems: Sequence[Problem] = ()


class Source(Protocol):
    """A file being read. `position` and `total` count bytes or rows; `total` is None where nobody knows."""

    @property
    def position(self) -> int:
        """How far it is read."""
        ...

    @property
    def total(self) -> int | None:
        """How far there is to read."""
        ...

    def rows(self) -> Iterator[Row]:
        """Every row that is not blank, in order.

        Raises:
            FileProblem: the rest cannot be read.
        """
        ...


def bad(number: int, message: str, customer_id: str | None = None, field: str = "") -> Row:
    """A row that is not sent."""
    return Row(number, customer_id, b"", (Problem(field, message),))


def row_of(number: int, body: dict[str, Any]) -> Row:
    """The row of a body, unless it is larger than a line may be."""
    line = encode(body)
    customer_id = body.get("customerId")
    if len(line) > LINE_MAX_BYTES:
        return bad(number, f"is longer than {LINE_MAX_BYTES} bytes", customer_id)
    return Row(number, customer_id, line)
