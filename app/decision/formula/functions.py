"""The functions of formulas.

Rules of this module:

1.  A function is made once from its compiled arguments and never fails. An argument of the wrong type gives
    null, and null in gives null out, except where a function is about null (coalesce, concat, if).
2.  `if` and `coalesce` evaluate only the arguments that they need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import msgspec

from app.decision.conditions import Environment
from app.decision.formula.dates import days_between
from app.decision.formula.values import TEXT_MAX, Evaluate, Value, bounded, is_number, read_value
from app.decision.showing import shown

#: `len` takes lists too, everything else gets values.
Arguments = tuple[Callable[[Environment], Any], ...]

_DIGITS_MAX = 15
#: From here on a float is whole, and its fraction needs no more digits than these.
_WHOLE = 2.0**53
_DECIMAL = Context(prec=40, rounding=ROUND_HALF_UP)


class Function(msgspec.Struct, frozen=True):
    """How a function is made, and how many arguments it takes."""

    make: Callable[[Arguments], Evaluate]
    least: int
    most: int | None


def _of_values(apply: Callable[..., Value]) -> Callable[[Arguments], Evaluate]:
    """A function of its arguments' values, all evaluated."""

    def make(arguments: Arguments) -> Evaluate:
        if len(arguments) == 1:
            only = arguments[0]
            return lambda environment: apply(only(environment))
        return lambda environment: apply(*[argument(environment) for argument in arguments])

    return make


def _extreme(choose: Callable[[Any], Any]) -> Callable[..., Value]:
    def extreme(*values: Value) -> Value:
        return bounded(choose(values)) if all(map(is_number, values)) else None

    return extreme


def _round(value: Any, digits: Any = 0) -> Value:
    """Rounded as the number is written in decimal, halves away from zero: 2.675 to 2 digits is 2.68."""
    if not is_number(value) or not is_number(digits) or digits != int(digits):
        return None
    if not 0 <= digits <= _DIGITS_MAX:
        return None
    if type(value) is int or abs(value) >= _WHOLE:
        return _whole(value) if digits == 0 else value
    rounded = _DECIMAL.quantize(Decimal(repr(value)), Decimal((0, (1,), -int(digits))))
    return int(rounded) if digits == 0 else float(rounded)


def _whole(value: Any) -> Value:
    """A whole number as an integer where 64 bits hold it, else as it is."""
    whole = bounded(int(value))
    return bounded(value) if whole is None else whole


def _floor(value: Any) -> Value:
    return _whole(math.floor(value)) if is_number(value) and abs(value) < _WHOLE else _number(value)


def _ceil(value: Any) -> Value:
    return _whole(math.ceil(value)) if is_number(value) and abs(value) < _WHOLE else _number(value)


def _number(value: Any) -> Value:
    return _whole(value) if is_number(value) else None


def _abs(value: Any) -> Value:
    return bounded(abs(value)) if is_number(value) else None


def _concat(*values: Value) -> Value:
    """The values as text, one behind the other; null adds nothing."""
    parts: list[str] = []
    room = TEXT_MAX
    for value in values:
        part = shown(value) or ""
        room -= len(part)
        if room < 0:
            return None
        parts.append(part)
    return "".join(parts)


def _upper(value: Value) -> Value:
    return bounded(value.upper()) if isinstance(value, str) else None


def _lower(value: Value) -> Value:
    return bounded(value.lower()) if isinstance(value, str) else None


def _len(value: object) -> Value:
    """Characters of text, members of a list."""
    if isinstance(value, list | tuple):
        return len(value)
    text = read_value(value)
    return len(text) if isinstance(text, str) else None


def _coalesce(arguments: Arguments) -> Evaluate:
    def coalesce(environment: Environment) -> Value:
        for argument in arguments:
            value: Value = argument(environment)
            if value is not None:
                return value
        return None

    return coalesce


def choice(test: Evaluate, then: Evaluate, otherwise: Evaluate) -> Evaluate:
    """`then` where the test is truthy, else `otherwise`; the other one is not evaluated."""
    return lambda environment: then(environment) if test(environment) else otherwise(environment)


def _if(arguments: Arguments) -> Evaluate:
    return choice(
        arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else lambda environment: None
    )


FUNCTIONS: Mapping[str, Function] = {
    "min": Function(_of_values(_extreme(min)), 1, None),
    "max": Function(_of_values(_extreme(max)), 1, None),
    "round": Function(_of_values(_round), 1, 2),
    "floor": Function(_of_values(_floor), 1, 1),
    "ceil": Function(_of_values(_ceil), 1, 1),
    "abs": Function(_of_values(_abs), 1, 1),
    "coalesce": Function(_coalesce, 1, None),
    "concat": Function(_of_values(_concat), 1, None),
    "if": Function(_if, 2, 3),
    "upper": Function(_of_values(_upper), 1, 1),
    "lower": Function(_of_values(_lower), 1, 1),
    "len": Function(_of_values(_len), 1, 1),
    "days_between": Function(_of_values(days_between), 2, 2),
}
