"""Values as an explanation shows them: whatever a decision compared, as JSON that any reader takes.

Rules of this module:

1.  Never fails: what JSON does not know becomes text; a number that is not finite becomes null, an integer of
    more than 64 bits the nearest float, or null past its range.
2.  What is nested deeper than `DEPTH_MAX` levels is left out as `"…"`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

DEPTH_MAX = 64
#: Characters of one value in a line of words.
_WORD_MAX = 200
_LEFT_OUT = "…"

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
#: Text that reads well without quotes and cannot be taken for another value.
_BARE = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][A-Za-z0-9_.:/-]*")

_encode = msgspec.json.Encoder().encode


def plain(value: object, depth: int = 0) -> Any:
    """The value as JSON carries it: null, booleans, finite numbers, text, lists, objects."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    if depth >= DEPTH_MAX:
        return _LEFT_OUT
    if isinstance(value, Mapping):
        return {_text(str(name)): plain(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member, depth + 1) for member in value]
    if isinstance(value, set | frozenset):
        return [plain(member, depth + 1) for member in sorted(value, key=str)]
    return value.isoformat() if isinstance(value, datetime) else _text(str(value))


def plain_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`plain` of every member."""
    return {_text(name): plain(value) for name, value in fields.items()}


def in_a_word(value: object) -> str:
    """The value on one line: text bare where that reads well, everything else as JSON, cut when long."""
    shown = plain(value)
    word = shown if isinstance(shown, str) and _BARE.fullmatch(shown) else _encode(shown).decode()
    return word if len(word) <= _WORD_MAX else word[:_WORD_MAX] + _LEFT_OUT


def _number(value: int | float) -> int | float | None:
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return value
        try:
            return float(value)
        except OverflowError:
            return None
    return value if math.isfinite(value) else None


def _text(text: str) -> str:
    """The text, with `?` for what UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()
