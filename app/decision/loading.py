"""Turning a decoded document into a typed value, or into everything that is wrong with it.

Rules of this module:

1.  All problems come at once, `PROBLEMS_MAX` at most, each with the path of the field; nothing raises,
    whatever the document.
2.  Only what JSON can carry is read: finite numbers of 64 bits, text that UTF-8 can encode, string keys,
    at most `DEPTH_MAX` levels. (YAML can say more, so instants already parsed are let by too.)
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Container, Iterator
from datetime import datetime
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from app.decision.problems import Problem, join

#: Levels of lists and objects in a document: a condition tree of 64 levels takes two each.
DEPTH_MAX = 160
#: Most problems told of one document: nobody mends more at once, and looking for them takes time.
PROBLEMS_MAX = 1_000
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_AT = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)

S = TypeVar("S", bound=msgspec.Struct)


def load_struct(cls: type[S], body: object, path: str = "") -> S | list[Problem]:
    """The document as a `cls`, or every problem with it.

    Args:
        cls: A Struct whose fields say what is allowed.
        body: A decoded JSON or YAML value, of any shape.
        path: Where `body` stands in its document, put before every problem's path.
    """
    problems = list(islice(_unreadable(body, path), PROBLEMS_MAX))
    if problems:
        return [*problems, *_problems_beside(cls, body, path)][:PROBLEMS_MAX]
    try:
        return msgspec.convert(body, cls)
    except msgspec.ValidationError as error:
        return list(islice(_problems_of(cls, body, path), PROBLEMS_MAX)) or [_translated(error, path)]


def load_value(wanted: Any, value: object, otherwise: Any) -> Any:
    """A field's value as the type that is wanted; `otherwise` when it is not right."""
    if any(True for _ in _unreadable(value, "")):
        return otherwise
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return otherwise


@functools.cache
def struct_fields(cls: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """A Struct's fields. Finding them anew takes longer than reading a document."""
    return msgspec.structs.fields(cls)


def _unreadable(body: object, path: str) -> Iterator[Problem]:
    """Problems of values that no JSON document carries, found without recursion."""
    stack: list[tuple[object, str, int]] = [(body, path, 1)]
    while stack:
        value, at, depth = stack.pop()
        if depth > DEPTH_MAX:
            yield Problem(at, f"is nested deeper than {DEPTH_MAX} levels")
        elif isinstance(value, dict):
            for name, member in value.items():
                if not isinstance(name, str) or not _encodable(name):
                    yield Problem(at, "has a name that is not text")
                else:
                    stack.append((member, join(at, name), depth + 1))
        elif isinstance(value, list):
            stack.extend((member, join(at, f"[{i}]"), depth + 1) for i, member in enumerate(value))
        elif (message := _unreadable_scalar(value)) is not None:
            yield Problem(at, message)


def _unreadable_scalar(value: object) -> str | None:
    if value is None or isinstance(value, bool | datetime):
        return None
    if isinstance(value, str):
        return None if _encodable(value) else "is not valid Unicode text"
    if isinstance(value, int):
        return None if _INT_MIN <= value <= _INT_MAX else "is an integer of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is not a finite number"
    return f"is a {type(value).__name__}, which JSON does not know; write it as text"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problems_beside(cls: type[msgspec.Struct], body: object, path: str) -> Iterator[Problem]:
    """What else is wrong with an object that has values which no JSON document carries."""
    if not isinstance(body, dict) or not all(isinstance(name, str) and _encodable(name) for name in body):
        return
    lost = {name for name, value in body.items() if any(True for _ in _unreadable(value, ""))}
    yield from islice(_problems_of(cls, body, path, lost), PROBLEMS_MAX)


def _problems_of(
    cls: type[msgspec.Struct], body: object, path: str, lost: Container[str] = ()
) -> Iterator[Problem]:
    """Every problem of a document against a Struct, field by field but those that are `lost`."""
    if not isinstance(body, dict):
        yield Problem(path, "must be an object")
        return
    known = {field.encode_name: field for field in struct_fields(cls)}
    for name in body:
        if name not in known:
            yield Problem(join(path, name), f"is not a field here; the fields are: {', '.join(known)}")
    for name, field in known.items():
        if name in lost:
            continue
        if name in body:
            yield from _problems_of_value(field.type, body[name], join(path, name))
        elif field.required:
            yield Problem(join(path, name), "is required")


def _problems_of_value(wanted: Any, value: object, path: str) -> Iterator[Problem]:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        inner = _without_none(wanted)
        element = _element_of(inner)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _problems_of(inner, value, path)
        elif element is not None and isinstance(value, list) and value:
            for i, member in enumerate(value):
                yield from _problems_of_value(element, member, join(path, f"[{i}]"))
        elif get_origin(inner) is Literal:
            yield Problem(path, f"must be one of: {', '.join(map(str, get_args(inner)))}")
        else:
            yield _translated(error, path)


def _without_none(wanted: Any) -> Any:
    """The type inside an optional; other unions stay whole."""
    if get_origin(wanted) in (Union, UnionType):
        members = [member for member in get_args(wanted) if member is not type(None)]
        if len(members) == 1:
            return _without_none(members[0])
    if get_origin(wanted) is Annotated and get_origin(get_args(wanted)[0]) is tuple:
        return get_args(wanted)[0]
    return wanted


def _element_of(wanted: Any) -> Any | None:
    """The type of the members of a `tuple[T, ...]`, None for anything else."""
    arguments = get_args(wanted)
    if get_origin(wanted) is tuple and len(arguments) == 2 and arguments[1] is ...:
        return arguments[0]
    return None


def _translated(error: msgspec.ValidationError, path: str) -> Problem:
    """msgspec's message with its path taken apart from it."""
    text = str(error)
    found = _AT.search(text)
    if found is None:
        return Problem(path, _sentence(text))
    return Problem(join(path, found.group(1).lstrip(".")), _sentence(text[: found.start()]))


def _sentence(text: str) -> str:
    """A message that continues the field's name, as in `must be <= 100`."""
    if "matching regex '^[A-Za-z0-9_.:-]" in text:
        return "must be 1 to 128 of the characters A-Z a-z 0-9 _ . : -"
    return text.replace("Expected ", "must be ", 1).replace("`", "")
