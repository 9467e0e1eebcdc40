"""What the signs of formulas do with values.

Rules of this module:

1.  Every function here is total: any two values give a value, null for a type error, a division by zero or
    an overflow. Null goes through arithmetic and through comparisons of order.
2.  Integers are exact within 64 bits and null beyond; `/` always gives a float (IEEE 754, like all floats).
3.  `==` and `!=` compare any two values, null among them; numbers by value, but true is not 1 and "1" is
    not 1.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from app.decision.formula.values import Value, bounded, is_number
from app.decision.operators import same

Operation = Callable[[Any, Any], Value]


def _add(left: Any, right: Any) -> Value:
    if (is_number(left) and is_number(right)) or (type(left) is str and type(right) is str):
        return bounded(left + right)
    return None


def _subtract(left: Any, right: Any) -> Value:
    return bounded(left - right) if is_number(left) and is_number(right) else None


def _multiply(left: Any, right: Any) -> Value:
    return bounded(left * right) if is_number(left) and is_number(right) else None


def _divide(left: Any, right: Any) -> Value:
    if not is_number(left) or not is_number(right) or right == 0:
        return None
    # A float of 1e308 divided by one of 1e-308 is infinite, which `bounded` makes null.
    return bounded(left / right)


def _remainder(left: Any, right: Any) -> Value:
    """`a - b * floor(a / b)`: it has the sign of `b`, so that the remainder of days by 7 is a weekday."""
    if not is_number(left) or not is_number(right) or right == 0:
        return None
    return bounded(left % right)


def negative(value: Any) -> Value:
    """`-x`; null for what is no number."""
    return bounded(-value) if is_number(value) else None


def _ordered(compare: Callable[[Any, Any], bool]) -> Operation:
    """Numbers with numbers, text with text by code point; null for anything else."""

    def ordered(left: Any, right: Any) -> Value:
        if (is_number(left) and is_number(right)) or (type(left) is str and type(right) is str):
            return compare(left, right)
        return None

    return ordered


def _differ(left: Any, right: Any) -> Value:
    return not same(left, right)


OPERATIONS: Mapping[str, Operation] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _remainder,
    "==": same,
    "!=": _differ,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
}
