"""Tokens to a tree, by precedence climbing.

Rules of this module:

1.  Pratt's method (V. Pratt, "Top Down Operator Precedence", POPL 1973): every sign between operands has a
    binding power, and an operand takes what binds more tightly than the sign before it. No backtracking:
    every token is looked at once.
2.  `* / %`, `+ -`, `&&` and `||` group from the left, `?:` from the right. Comparisons do not group:
    `a < b < c` is refused, since it does not mean what it seems to.
3.  What is nested deeper than `DEPTH_MAX` is refused. An operand, an argument and a parenthesis are each one
    level; the length of a chain is none.
"""

from __future__ import annotations

from app.decision.formula.problems import FormulaRefusal
from app.decision.formula.syntax import (
    Call,
    Chain,
    Choice,
    Comparison,
    Field,
    Literal,
    Logic,
    Name,
    Node,
    Now,
    Unary,
)
from app.decision.formula.tokens import Token

DEPTH_MAX = 64

_CHOICE, _OR, _AND, _EQUAL, _ORDER, _SUM, _PRODUCT, _UNARY = range(1, 9)
_POWERS = {
    "?": _CHOICE,
    "||": _OR,
    "&&": _AND,
    **dict.fromkeys(("==", "!="), _EQUAL),
    **dict.fromkeys(("<", "<=", ">", ">="), _ORDER),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/%", _PRODUCT),
}
_CONSTANTS: dict[str, Literal] = {"true": Literal(True), "false": Literal(False), "null": Literal(None)}


def parse(tokens: list[Token]) -> Node:
    """The tree of a whole formula.

    Raises:
        FormulaRefusal: At the first token that cannot stand where it does.
    """
    parser = _Parser(tokens)
    node = parser.expression(0, 0)
    parser.end()
    return node


class _Parser:
    """A place in the tokens that only moves on."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def expression(self, power: int, depth: int) -> Node:
        """The longest expression from here on whose signs all bind more tightly than `power`."""
        if depth > DEPTH_MAX:
            raise FormulaRefusal(f"the formula is nested deeper than {DEPTH_MAX} levels", self._token.at)
        node = self._operand(depth + 1)
        while (here := self._power()) > power:
            node = self._continued(node, here, depth + 1)
        return node

    def end(self) -> None:
        """Nothing may follow."""
        if self._token.kind != "end":
            raise self._refused("expected an operator")

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _power(self) -> int:
        """How tightly the next token binds; 0 for what stands between no operands."""
        token = self._token
        return _POWERS.get(token.raw, 0) if token.kind == "sign" else 0

    def _take(self) -> Token:
        token = self._token
        self._next += 1
        return token

    def _taken(self, sign: str) -> bool:
        """Whether the next token was this sign; moves past it."""
        if self._token.kind == "sign" and self._token.raw == sign:
            self._next += 1
            return True
        return False

    def _require(self, sign: str, of: str) -> None:
        if not self._taken(sign):
            raise self._refused(f"expected {sign} {of}")

    def _refused(self, expected: str) -> FormulaRefusal:
        token = self._token
        raw = token.raw if len(token.raw) <= 40 else f"{token.raw[:40]}…"
        found = "the formula ends here" if token.kind == "end" else f"found {raw}"
        return FormulaRefusal(f"{expected}, but {found}", token.at)

    def _operand(self, depth: int) -> Node:
        token = self._token
        if token.kind == "number" or token.kind == "text":
            self._next += 1
            assert not isinstance(token.value, tuple)
            return Literal(token.value)
        if token.kind == "path":
            return self._path(self._take(), depth)
        if self._taken("("):
            node = self.expression(0, depth)
            self._require(")", "to close the parenthesis")
            return node
        if self._taken("-") or self._taken("!"):
            return Unary(token.raw, self.expression(_UNARY, depth))
        raise self._refused("expected a value")

    def _path(self, token: Token, depth: int) -> Node:
        """A constant, `now`, a call, a bare name or a field."""
        assert isinstance(token.value, tuple)
        first, *steps = token.value
        if steps:
            return Field(first, ".".join(steps), token.at)
        if token.raw in _CONSTANTS:
            return _CONSTANTS[token.raw]
        if token.raw == "now":
            if self._taken("("):
                self._require(")", "since now has no arguments")
            return Now()
        if token.raw == first and self._taken("("):
            return Call(first, self._arguments(depth), token.at)
        return Name(first, token.at)

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        if self._taken(")"):
            return ()
        arguments = [self.expression(0, depth)]
        while self._taken(","):
            arguments.append(self.expression(0, depth))
        self._require(")", "to close the arguments")
        return tuple(arguments)

    def _continued(self, left: Node, power: int, depth: int) -> Node:
        """What `left` and the signs of this power after it make together."""
        if power == _CHOICE:
            return self._choice(left, depth)
        if power in (_EQUAL, _ORDER):
            node = Comparison(self._take().raw, left, self.expression(power, depth))
            if self._power() == power:
                raise FormulaRefusal("comparisons cannot be chained; join them with &&", self._token.at)
            return node
        rest: list[tuple[str, Node]] = []
        while self._power() == power:
            rest.append((self._take().raw, self.expression(power, depth)))
        if power in (_SUM, _PRODUCT):
            return Chain(left, tuple(rest))
        return Logic(rest[0][0], (left, *[part for _, part in rest]))

    def _choice(self, test: Node, depth: int) -> Node:
        self._require("?", "")
        then = self.expression(0, depth)
        self._require(":", "between the two choices")
        return Choice(test, then, self.expression(0, depth))
