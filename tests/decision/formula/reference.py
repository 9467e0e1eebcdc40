"""A second reading of the formula language: trees as tuples, written down as text and evaluated plainly.

It shares no code with the language; what it says of null is the table of docs/concepts/formulas.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

#: ("value", v) ("name", n) ("field", namespace, n) (sign, a) (sign, a, b) ("?", a, b, c) ("call", f, [a, …])
Tree = tuple[Any, ...]

#: The dates among the texts of the tests, epoch ms.
DATES = {
    "2026-03-01": 1_772_323_200_000,
    "0001-01-01T00:00+23:59": -62_135_683_140_000,
    "9999-12-31T23:59-23:59": 253_402_387_080_000,
}
_POWERS = {
    "?": 1, "||": 2, "&&": 3, "==": 4, "!=": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "+": 6, "-": 6, "*": 7,
    "/": 7, "%": 7,
}  # fmt: skip
_UNARY, _ATOM = 8, 9
_LOOSE = ("==", "!=", "<", "<=", ">", ">=")

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 2**63 - 1),
    st.sampled_from([0.0, 0.5, 2.5, 1e308, 5e-324, 2.0**53]),
    st.floats(0, allow_nan=False, allow_infinity=False),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["2026-03-01", "1", "a"]),
)
_ATOMS = st.one_of(
    VALUES.map(lambda value: ("value", value)),
    st.sampled_from([("name", "a"), ("name", "b-c"), ("name", "gone"), ("call", "now", [])]),
    st.sampled_from([("field", "customer", "x"), ("field", "metrics", "m"), ("field", "context", "q r")]),
)


def _wider(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    one = st.sampled_from(["round", "floor", "ceil", "abs", "upper", "lower", "len"])
    many = st.sampled_from(["min", "max", "coalesce", "concat"])
    two = st.sampled_from(["round", "days_between", "if"])
    return st.one_of(
        st.tuples(st.sampled_from(["-", "!"]), inner),
        st.tuples(st.sampled_from([sign for sign in _POWERS if sign != "?"]), inner, inner),
        st.tuples(st.just("?"), inner, inner, inner),
        st.tuples(st.just("call"), one, st.lists(inner, min_size=1, max_size=1)),
        st.tuples(st.just("call"), many, st.lists(inner, min_size=1, max_size=4)),
        st.tuples(st.just("call"), two, st.lists(inner, min_size=2, max_size=2)),
        st.tuples(st.just("call"), st.just("if"), st.lists(inner, min_size=3, max_size=3)),
    )


TREES: st.SearchStrategy[Tree] = st.recursive(_ATOMS, _wider, max_leaves=25)


def written(tree: Tree, spaced: bool, least: int = 0) -> str:
    """The tree as text, with a parenthesis only where `least` (how tightly it must bind) asks for it."""
    text, power = _written(tree, spaced)
    return text if power >= least else f"({text})"


def _written(tree: Tree, spaced: bool) -> tuple[str, int]:
    kind, *parts = tree
    if kind == "value":
        return _literal(parts[0]), _ATOM
    if kind == "name":
        return f"`{parts[0]}`" if "-" in parts[0] else parts[0], _ATOM
    if kind == "field":
        return f"{parts[0]}.`{parts[1]}`" if " " in parts[1] else f"{parts[0]}.{parts[1]}", _ATOM
    if kind == "call":
        return f"{parts[0]}({', '.join(written(one, spaced) for one in parts[1])})", _ATOM
    if len(parts) == 1:
        return kind + written(parts[0], spaced, _UNARY), _UNARY
    gap = " " if spaced else ""
    if kind == "?":
        test, then, otherwise = (
            written(one, spaced, least) for one, least in zip(parts, (2, 0, 0), strict=True)
        )
        return f"{test}{gap}?{gap}{then}{gap}:{gap}{otherwise}", 1
    power = _POWERS[kind]
    left = written(parts[0], spaced, power + (kind in _LOOSE))
    return f"{left}{gap}{kind}{gap}{written(parts[1], spaced, power + 1)}", power


def _literal(value: object) -> str:
    if isinstance(value, str):
        plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{plain}"'
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seen(value: Any) -> Any:
    """A value within the bounds, else null."""
    if isinstance(value, str):
        return value if len(value) <= 10_000 else None
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _truthy(value: object) -> bool:
    return not (value is None or value is False or value == "" or (_number(value) and value == 0))


def evaluated(tree: Tree, where: Any) -> Any:
    """What the tree gives."""
    kind, *parts = tree
    if kind == "value":
        return parts[0]
    if kind == "name":
        return _seen(where["offer"].get(parts[0]))
    if kind == "field":
        return _seen(where[parts[0]].get(parts[1]))
    if kind == "?":
        return evaluated(parts[1 if _truthy(evaluated(parts[0], where)) else 2], where)
    if kind == "call":
        return _called(parts[0], [evaluated(one, where) for one in parts[1]], parts[1], where)
    values = [evaluated(one, where) for one in parts]
    if len(values) == 1:
        if kind == "!":
            return not _truthy(values[0])
        return _seen(-values[0]) if _number(values[0]) else None
    return _seen(_binary(kind, *values))


def _equal(left: Any, right: Any) -> bool:
    if _number(left) and _number(right):
        return Fraction(left) == Fraction(right)
    return type(left) is type(right) and bool(left == right)


def _binary(sign: str, left: Any, right: Any) -> Any:
    if sign in ("&&", "||"):
        truths = (_truthy(left), _truthy(right))
        return all(truths) if sign == "&&" else any(truths)
    if sign in ("==", "!="):
        return _equal(left, right) is (sign == "==")
    numbers = _number(left) and _number(right)
    texts = isinstance(left, str) and isinstance(right, str)
    if sign in ("<", "<=", ">", ">="):
        if not numbers and not texts:
            return None
        before = Fraction(left) < Fraction(right) if numbers else [*map(ord, left)] < [*map(ord, right)]
        equal = _equal(left, right)
        return {"<": before, "<=": before or equal, ">": not before and not equal, ">=": not before}[sign]
    if texts and sign == "+":
        return left + right
    if not numbers or (sign in "/%" and right == 0):
        return None
    return {"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right,
            "/": lambda: left / right, "%": lambda: left % right}[sign]()  # fmt: skip


def _called(name: str, values: list[Any], trees: list[Tree], where: Any) -> Any:
    if name == "now":
        return where["time"]["now_ms"]
    if name == "coalesce":
        return next((value for value in values if value is not None), None)
    if name == "if":
        return values[1] if _truthy(values[0]) else values[2] if len(values) == 3 else None
    if name == "concat":
        return _seen("".join(map(_in_words, values)))
    if name == "len" and trees[0][0] in ("name", "field"):
        space, key = ("offer", trees[0][1]) if trees[0][0] == "name" else trees[0][1:]
        found = where[space].get(key)
        if isinstance(found, list | tuple):
            return len(found)
    if any(value is None for value in values):
        return None
    return _seen(_STRICT[name](*values))


def _in_words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if isinstance(value, float) and value == math.floor(value) and abs(value) < 1e15:
        return str(math.floor(value))
    return str(value)


def _of_numbers(apply: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: apply(*values) if all(map(_number, values)) else None


def _of_text(apply: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: apply(value) if isinstance(value, str) else None


def _whole(value: int, otherwise: float) -> float | int:
    return value if -(2**63) <= value < 2**63 else otherwise


def _rounded(value: Any, digits: Any = 0) -> Any:
    """By the digits of the shortest way to write the number."""
    if digits not in range(16):
        return None
    if value == math.trunc(value):
        return _whole(math.trunc(value), value) if digits == 0 else value
    shift = 10 ** int(digits)
    written_as = Fraction(repr(value))
    halves = math.floor(abs(written_as) * shift + Fraction(1, 2)) * (1 if written_as >= 0 else -1)
    return _whole(halves, value) if digits == 0 else float(Fraction(halves, shift))


def _days(start: Any, end: Any) -> Any:
    """Only the dates that the tests use, and epoch ms."""
    instants = []
    for value in (start, end):
        if value in DATES:
            instants.append(DATES[value])
        elif _number(value) and -62_135_596_800_000 <= value <= 253_402_300_799_999:
            instants.append(math.trunc(value))
        else:
            return None
    return math.trunc(Fraction(instants[1] - instants[0], 86_400_000))


_STRICT: dict[str, Callable[..., Any]] = {
    "min": _of_numbers(lambda *values: min(values)),
    "max": _of_numbers(lambda *values: max(values)),
    "abs": _of_numbers(abs),
    "floor": _of_numbers(lambda value: _whole(math.floor(value), value)),
    "ceil": _of_numbers(lambda value: _whole(math.ceil(value), value)),
    "round": _of_numbers(_rounded),
    "upper": _of_text(str.upper),
    "lower": _of_text(str.lower),
    "len": _of_text(len),
    "days_between": _days,
}
