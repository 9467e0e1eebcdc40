"""Query parameters: read strictly, every bad one found at once. Unknown ones are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from app.decision.refusals import Problem
from web.view import Call

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
OFFSET_MAX = 1_000_000

_WHOLE = re.compile(r"[0-9]{1,9}")


def given(call: Call, names: Iterable[str], problems: list[Problem]) -> Mapping[str, str]:
    """The parameters of these names that were given.

    Args:
        call: The request.
        names: Those that count.
        problems: Is added to when one is no text, or was given twice with different values.
    """
    found: dict[str, str] = {}
    for name in names:
        values = call.query.getall(name, ())
        if len(set(values)) > 1:
            problems.append(Problem(name, "was given twice with different values"))
        elif values and any("\ud800" <= letter <= "\udfff" for letter in values[0]):
            problems.append(Problem(name, "is not valid UTF-8"))
        elif values:
            found[name] = values[0]
    return found


def page(call: Call, problems: list[Problem]) -> tuple[int, int]:
    """`limit` (1–200, default 50) and `offset` (from 0, the default) of a list; `problems` is added to."""
    said = given(call, ("limit", "offset"), problems)
    limit = _whole(said, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, problems)
    return limit, _whole(said, "offset", 0, OFFSET_MAX, 0, problems)


def flag(said: Mapping[str, str], name: str, problems: list[Problem]) -> bool:
    """Whether a parameter is `true`; it is not when left out. `problems` is added to."""
    text = said.get(name, "false")
    if text not in ("true", "false"):
        problems.append(Problem(name, "must be true or false"))
    return text == "true"


def _whole(
    said: Mapping[str, str], name: str, least: int, most: int, default: int, problems: list[Problem]
) -> int:
    text = said.get(name)
    if text is None:
        return default
    if _WHOLE.fullmatch(text) and least <= int(text) <= most:
        return int(text)
    problems.append(Problem(name, f"must be a whole number from {least} to {most}"))
    return default
