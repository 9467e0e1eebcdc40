"""The values of formulas, and what is null among them.

Rules of this module:

1.  A value is a number, text, true, false or null. Anything else that is read (a list, an object, an integer
    of more than 64 bits, a float that is not finite, text of more than `TEXT_MAX` characters) is null.
2.  What an operation makes is bounded the same way, so that no result is larger than one that is read.
3.  Falsy are null, false, 0 and empty text; everything else is truthy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from app.decision.conditions import Environment

Value = float | int | str | bool | None
Evaluate = Callable[[Environment], Value]

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
TEXT_MAX = 10_000


def read_value(found: object) -> Value:
    """What a formula sees of a value that was found: itself, or null (rule 1)."""
    kind = type(found)
    if kind is str or kind is int or kind is float:
        return bounded(found)
    return found if isinstance(found, bool) else None


def bounded(result: Any) -> Value:
    """A number or text that was found or made; null when it is too large, or not a finite number."""
    if type(result) is str:
        return result if len(result) <= TEXT_MAX else None
    if type(result) is int:
        return result if INTEGER_MIN <= result <= INTEGER_MAX else None
    return result if math.isfinite(result) else None


def is_number(value: Value) -> bool:
    """Whether a value is a number; true and false are none."""
    return type(value) is float or type(value) is int
