"""Why a record or request is refused: every bad field, in words its author can act on, and not too many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

#: Problems told of one record or request, at most; the rest are counted.
PROBLEMS_MAX = 50

#: Characters of a problem's field or message.
_TOLD_MAX = 500

#: Parts of an object or array that are looked at one by one, once it is known to be wrong.
_PARTS_MAX = 1_000

_any = msgspec.json.Decoder()


class Problem(msgspec.Struct, frozen=True):
    """One bad field, by its path in the body, and what is wrong with it."""

    field: str
    message: str


class Refused(msgspec.Struct, frozen=True):
    """A record that cannot be folded.

    `reason` is one of: too_large, malformed (not JSON, not UTF-8, too deep), invalid (bad fields), future
    (its timestamp is too far ahead), unresolved (names an offer, creative, recommendation or outcome nobody
    knows).
    """

    reason: str
    problems: tuple[Problem, ...]


def invalid(problems: Sequence[Problem]) -> Refused:
    """Refused for these bad fields, of which there may be very many."""
    return Refused("invalid", tuple(first_problems(problems)))


def first_problems(problems: Sequence[Problem]) -> Sequence[Problem]:
    """The problems to tell, PROBLEMS_MAX at most; if there are more, the last one says how many.

    Their texts are cut too: a name or value quoted in them may be as long as the record.
    """
    told = [Problem(_cut(problem.field), _cut(problem.message)) for problem in problems[:PROBLEMS_MAX]]
    if len(problems) > PROBLEMS_MAX:
        told[-1] = Problem("", f"and {len(problems) - PROBLEMS_MAX + 1} more problems")
    return told


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that was there before; None when all differ. One look at each name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def refusal(kind: type[msgspec.Struct], body: bytes, error: Exception) -> Refused:
    """Why a body is not of this kind, with every bad field, not only the first."""
    if not isinstance(error, msgspec.ValidationError):
        return Refused("malformed", (Problem("", malformed_message(error)),))
    try:
        raw = _any.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as again:
        return Refused("malformed", (Problem("", malformed_message(again)),))
    if not isinstance(raw, dict):
        return Refused("invalid", (Problem("", "must be a JSON object"),))
    problems = field_problems(kind, raw)
    return invalid(problems or [Problem("", str(error))])


def malformed_message(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "not valid UTF-8"
    return f"not valid JSON: {error}"


def field_problems(kind: type[msgspec.Struct], raw: Mapping[str, object]) -> list[Problem]:
    """Every field of `raw` that does not fit `kind`, inside objects and arrays too."""
    problems: list[Problem] = []
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name in raw:
            problems += _misfits(field.type, raw[name], name)
        elif field.required:
            problems.append(Problem(name, f"{name} is required"))
    return problems


def _misfits(kind: Any, value: object, path: str) -> list[Problem]:
    """What does not fit in a value; the value itself, when nothing inside it is to blame."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        inside = [
            Problem(path + problem.field, problem.message)
            for option in _options(kind)
            for problem in _inside(option, value)
        ]
        text, _, where = str(error).partition(" - at `$")
        return inside or [Problem(path + where.rstrip("`"), text)]
    return []


def _options(kind: Any) -> list[Any]:
    """The types that a value may be of, without what is said about them."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [option for one in get_args(kind) for option in _options(one)]
    return [kind]


def _inside(kind: Any, value: object) -> list[Problem]:
    """What does not fit in the parts of an object or array, by their paths in it."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [Problem("." + one.field, one.message) for one in field_problems(kind, value)]
    if isinstance(value, dict) and get_origin(kind) is dict:
        part = get_args(kind)[1]
        named = ((f".{name}", one) for name, one in value.items())
    elif isinstance(value, list) and get_origin(kind) in (list, tuple):
        part = get_args(kind)[0]
        named = ((f"[{index}]", one) for index, one in enumerate(value))
    else:
        return []
    return [problem for path, one in islice(named, _PARTS_MAX) for problem in _misfits(part, one, path)]


def _cut(text: str) -> str:
    return text if len(text) <= _TOLD_MAX else text[:_TOLD_MAX] + "…"
