"""Columns of a table of customers: which part of the customer each is.

`customerId`, `timeZone`, `locale`, `tags`, `consent.<channel>` and `attributes.<name>`; any other column is
the attribute of its name. `attributes` and `consent` may be columns of their own, where a cell can hold
several.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from app.customer_files.row import FileProblem, Row, bad, row_of
from app.decision.refusals import Problem

CUSTOMER_ID = "customerId"
TAGS = "tags"
#: Between the tags of one cell.
TAG_MARK = ";"

_FIELDS = frozenset({CUSTOMER_ID, "timeZone", "locale", TAGS})
_GROUPS = ("attributes", "consent")


class Columns:
    """The columns of a table, by their names.

    Args:
        names: the header.
        replace: whether what a row does not name is forgotten.

    Raises:
        FileProblem: they are not a table of customers.
    """

    def __init__(self, names: Sequence[str], replace: bool = False) -> None:
        problem = _header_problem(names)
        if problem is not None:
            raise FileProblem(problem)
        self._places = [_place(name) for name in names]
        self._replace = replace

    def row(self, number: int, cells: Sequence[Any]) -> Row:
        """The row of these cells, one for each column; None is a cell that says nothing."""
        body: dict[str, Any] = {"replace": True} if self._replace else {}
        problems: list[Problem] = []
        for (field, name), cell in zip(self._places, cells, strict=True):
            if cell is None:
                continue
            try:
                _put(body, field, name, cell)
            except ValueError as error:
                problems.append(Problem(f"{field}.{name}" if name else field, str(error)))
        customer_id = body.get(CUSTOMER_ID)
        if problems:
            return Row(number, customer_id, b"", problems)
        if customer_id is None:
            return bad(number, "is required", field=CUSTOMER_ID)
        return row_of(number, body)


def _header_problem(names: Sequence[str]) -> str | None:
    if CUSTOMER_ID not in names:
        return f"has no column {CUSTOMER_ID}; its columns: {', '.join(names[:20])[:500] or 'none'}"
    if any(not name for name in names):
        return f"has a column without a name, number {list(names).index('') + 1}"
    places = [_place(name) for name in names]
    for place, name in zip(places, names, strict=True):
        if places.count(place) > 1:
            return f"has the column {name[:100]} twice"
    return None


def _place(name: str) -> tuple[str, str]:
    """The field of the body that a column is, and its name in there."""
    if name in _FIELDS or name in _GROUPS:
        return name, ""
    group, dot, rest = name.partition(".")
    if dot and rest and group in _GROUPS:
        return group, rest
    return "attributes", name


def _put(body: dict[str, Any], field: str, name: str, cell: Any) -> None:
    """Put a cell where its column says; raises ValueError when it is nothing that stands there."""
    if name:
        body.setdefault(field, {})[name] = _value(cell)
    elif field in _GROUPS:
        named = cell if isinstance(cell, Mapping) else dict(cell)
        body.setdefault(field, {}).update({str(key): _value(one) for key, one in named.items()})
    elif field == TAGS:
        body[TAGS] = _tags(cell)
    elif isinstance(cell, str | int):
        body[field] = str(cell)
    else:
        raise ValueError(f"must be text, not {type(cell).__name__}")


def _tags(cell: Any) -> list[str]:
    if isinstance(cell, str):
        return [tag for one in cell.split(TAG_MARK) if (tag := one.strip())]
    return [str(_value(one)) for one in cell]


def _value(cell: Any) -> Any:
    """A cell as JSON says it; raises ValueError for what an attribute cannot be."""
    if cell is None or isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, Decimal):
        cell = float(cell)
    if isinstance(cell, float):
        if math.isfinite(cell):
            return cell
        raise ValueError("is no finite number")
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    if isinstance(cell, list) and not any(isinstance(one, list | dict) for one in cell):
        return [_value(one) for one in cell]
    raise ValueError(f"is of a type that no attribute can be: {type(cell).__name__}")
