"""A formula's text, cut into tokens.

Rules of this module:

1.  One pass, one regular expression whose alternatives begin differently: the time is linear in the text.
2.  A name is `[A-Za-z_][A-Za-z0-9_]*`; any other name is put between backquotes. A path is names with dots
    between them, without spaces; its later names may begin with a digit.
3.  Text stands between " or '; \\\\ \\" \\' \\n \\t are its only escapes, and it ends on its line.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from app.decision.formula.problems import FormulaRefusal
from app.decision.formula.values import INTEGER_MAX, bounded

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
  | (?P<path>(?:[A-Za-z_][A-Za-z0-9_]*|`[^`\n]+`)(?:\.(?:[A-Za-z0-9_]+|`[^`\n]+`))*)
  | (?P<text>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')
  | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:(),])
    """,
    re.VERBOSE,
)
_STEP = re.compile(r"`([^`\n]+)`|([A-Za-z0-9_]+)")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_HINTS = {
    "=": "= is not an operator; write == to compare",
    "&": "& is not an operator; write && for and",
    "|": "| is not an operator; write || for or",
    ".": "a dot stands only inside a number (0.5) or a path (customer.age)",
    '"': 'the text that begins here has no end; close it with " on the same line',
    "'": "the text that begins here has no end; close it with ' on the same line",
    "`": "the name that begins here has no end; close it with ` on the same line",
}

Kind = Literal["number", "text", "path", "sign", "end"]


class Token(msgspec.Struct, frozen=True, gc=False):
    """A piece of a formula: what it is, its value (a path's names, a sign itself), where it begins."""

    kind: Kind
    value: float | int | str | tuple[str, ...]
    at: int
    #: As it is written, for messages.
    raw: str


def tokenize(text: str) -> list[Token]:
    """The tokens in order, an `end` behind them.

    Raises:
        FormulaRefusal: At the first character that begins no token.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FormulaRefusal(_unexpected(text[at]), at)
        if found.lastgroup != "space":
            tokens.append(_token(found))
        at = found.end()
    tokens.append(Token("end", "", len(text), ""))
    return tokens


def _token(found: re.Match[str]) -> Token:
    raw, at = found.group(), found.start()
    if found.lastgroup == "number":
        return Token("number", _number(raw, at), at, raw)
    if found.lastgroup == "text":
        return Token("text", _text(raw, at), at, raw)
    if found.lastgroup == "path":
        return Token("path", tuple(quoted or plain for quoted, plain in _STEP.findall(raw)), at, raw)
    return Token("sign", raw, at, raw)


def _number(raw: str, at: int) -> float | int:
    if raw.isdecimal():
        if len(raw.lstrip("0")) > len(str(INTEGER_MAX)) or int(raw) > INTEGER_MAX:
            raise FormulaRefusal("the number is larger than 9223372036854775807", at)
        return int(raw)
    value = float(raw)
    if bounded(value) is None:
        raise FormulaRefusal("the number is larger than 1.7e308", at)
    return value


def _text(raw: str, at: int) -> str:
    for found in _ESCAPE.finditer(raw):
        if found.group(1) not in _ESCAPED:
            wanted = r"the escapes are \\ \" \' \n \t"
            raise FormulaRefusal(f"{found.group()} means nothing in text; {wanted}", at + found.start())
    return _ESCAPE.sub(lambda found: _ESCAPED[found.group(1)], raw[1:-1])


def _unexpected(character: str) -> str:
    if character in _HINTS:
        return _HINTS[character]
    if not character.isprintable():
        return f"the character U+{ord(character):04X} is not part of a formula"
    return f"{character} is not part of a formula; other names than A-Z a-z 0-9 _ stand between backquotes"
