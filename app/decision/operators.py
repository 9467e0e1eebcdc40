"""The operators of conditions.

Rules of this module:

1.  An operator is made once for a value to compare with, and then tests what is found. Making one refuses
    a value that it could never be true of; testing never fails, whatever is found.
2.  Any two values are equal or not; numbers by value, but true is not 1. Order is between numbers or
    between texts; between anything else it is false.
"""

from __future__ import annotations

import math
import operator as op
from collections.abc import Callable, Mapping
from typing import Any

from app.decision.problems import Problem, join

Test = Callable[[object], bool]

#: Long names of the operators, accepted for ever.
ALIASES: Mapping[str, str] = {
    "equals": "eq",
    "equal": "eq",
    "not_equals": "neq",
    "not_equal": "neq",
    "greater_than": "gt",
    "greater_than_or_equal": "gte",
    "greater_than_or_equals": "gte",
    "greater_or_equal": "gte",
    "less_than": "lt",
    "less_than_or_equal": "lte",
    "less_than_or_equals": "lte",
    "less_or_equal": "lte",
    "not in": "not_in",
    "startswith": "starts_with",
    "begins_with": "starts_with",
    "is_set": "exists",
    "is_not_set": "not_exists",
}


class Refusal(Exception):
    """A condition is wrong; carries the problem out of the recursion."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.problem = Problem(path, message)


def same(left: object, right: object) -> bool:
    """Equality as JSON knows it: numbers by value, but true is not 1."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def _eq(value: object, path: str) -> Test:
    _require_scalar(value, path)
    return lambda found: same(found, value)


def _neq(value: object, path: str) -> Test:
    _require_scalar(value, path)
    return lambda found: not same(found, value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, str], Test]:
    """gt, gte, lt or lte: numbers with numbers, text with text."""

    def make(value: object, path: str) -> Test:
        if isinstance(value, str):
            return lambda found: isinstance(found, str) and compare(found, value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_number(value):
            raise Refusal(path, "must be a number or text to compare by order")

        def test(found: object) -> bool:
            return isinstance(found, int | float) and not isinstance(found, bool) and compare(found, value)

        return test

    return make


def _in(value: object, path: str) -> Test:
    members = _require_list(value, path)

    def test(found: object) -> bool:
        wanted = found if isinstance(found, list | tuple) else (found,)
        return any(same(one, member) for one in wanted for member in members)

    return test


def _not_in(value: object, path: str) -> Test:
    contained = _in(value, path)
    return lambda found: not contained(found)


def _contains(value: object, path: str) -> Test:
    _require_scalar(value, path)

    def test(found: object) -> bool:
        if isinstance(found, str):
            return isinstance(value, str) and value in found
        return isinstance(found, list | tuple) and any(same(member, value) for member in found)

    return test


def _starts_with(value: object, path: str) -> Test:
    if not isinstance(value, str):
        raise Refusal(path, "must be text")
    return lambda found: isinstance(found, str) and found.startswith(value)


OPERATORS: Mapping[str, Callable[[object, str], Test]] = {
    "eq": _eq,
    "neq": _neq,
    "gt": _ordered(op.gt),
    "gte": _ordered(op.ge),
    "lt": _ordered(op.lt),
    "lte": _ordered(op.le),
    "in": _in,
    "not_in": _not_in,
    "contains": _contains,
    "starts_with": _starts_with,
}


def _is_number(value: float) -> bool:
    # A float far too large for an integer, and the other way round, still compare; only these do not.
    return not (isinstance(value, float) and not math.isfinite(value))


def _require_scalar(value: object, path: str) -> None:
    if isinstance(value, bool | str) or (isinstance(value, int | float) and _is_number(value)):
        return
    raise Refusal(path, "must be text, a number, true or false")


def _require_list(value: object, path: str) -> tuple[object, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 1_000:
        raise Refusal(path, "must be a list of 1 to 1,000 values")
    for i, member in enumerate(value):
        _require_scalar(member, join(path, f"[{i}]"))
    return tuple(value)
