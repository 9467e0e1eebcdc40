"""A formula as a tree. `at` is where a node stands in the text, in characters from 0."""

from __future__ import annotations

import msgspec

from app.decision.formula.values import Value


class Literal(msgspec.Struct, frozen=True):
    """A number, text, true, false or null."""

    value: Value


class Name(msgspec.Struct, frozen=True):
    """A bare name."""

    name: str
    at: int


class Field(msgspec.Struct, frozen=True):
    """A path that begins with a namespace."""

    namespace: str
    name: str
    at: int


class Now(msgspec.Struct, frozen=True):
    """The instant of the decision."""


class Unary(msgspec.Struct, frozen=True):
    """`-x` or `!x`."""

    sign: str
    operand: Node


class Chain(msgspec.Struct, frozen=True):
    """`a + b - c` or `a * b / c`, from left to right.

    One node however long it is, so that a tree is no deeper than its text is nested.
    """

    first: Node
    rest: tuple[tuple[str, Node], ...]


class Logic(msgspec.Struct, frozen=True):
    """`a && b && c` or `a || b || c`."""

    sign: str
    parts: tuple[Node, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Two values compared."""

    sign: str
    left: Node
    right: Node


class Choice(msgspec.Struct, frozen=True):
    """`test ? then : otherwise`."""

    test: Node
    then: Node
    otherwise: Node


class Call(msgspec.Struct, frozen=True):
    """A function with its arguments."""

    function: str
    arguments: tuple[Node, ...]
    at: int


Node = Literal | Name | Field | Now | Unary | Chain | Logic | Comparison | Choice | Call
