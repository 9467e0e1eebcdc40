"""What could be read of a document that is wrong elsewhere, so that all of it is checked at once.

Rules of this module:

1.  A field that is wrong, or required and not there, has no value: whoever reads it gets an `UnreadError`.
    So a check says what the other fields are guilty of, and nothing that follows from a value made up.
2.  An entity of this kind is only checked: it never becomes part of a catalogue.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

import msgspec

from app.decision.loading import load_value, struct_fields
from app.decision.problems import Problem

S = TypeVar("S", bound=msgspec.Struct)

#: In the place of a value that could not be read.
_UNREAD: Final = object()


class UnreadError(Exception):
    """A check wants a field that could not be read: it has nothing to say. Internal."""


def partial_of(cls: type[S], body: object) -> S | None:
    """What the document says as a `cls`, rule 1; None when it is no object."""
    if not isinstance(body, dict):
        return None
    values: dict[str, Any] = {}
    for field in struct_fields(cls):
        if field.encode_name in body:
            values[field.name] = load_value(field.type, body[field.encode_name], _UNREAD)
        elif field.required:
            values[field.name] = _UNREAD
    return cast(S, _guarded(cls)(**values))


def as_far_as_read(check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    """What a check finds before it wants a field that could not be read."""
    found: list[Problem] = []
    try:
        for problem in check():
            found.append(problem)  # one by one: what came before the error counts
    except UnreadError:
        pass  # rule 1: what cannot be known is not said
    return found


@functools.cache
def _guarded(cls: type[Any]) -> type[Any]:
    """The Struct, with fields that tell when they have no value."""

    def get(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if value is _UNREAD:
            raise UnreadError(name)
        return value

    names = {"__getattribute__": get, "__module__": __name__}
    made: type[Any] = msgspec.defstruct(f"Partial{cls.__name__}", [], bases=(cls,), namespace=names)
    return made
