"""What the JSON of a Struct must look like beyond what the types of its fields say.

Bodies are decoded into Structs whose fields all have defaults, so that every bad field is found at once; what
is required among them is checked after. A Struct says it here, beside its fields, for the documents of the
API and of the topics; tests hold the checks to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Beyond the types. All names are those on the wire.

    Attributes:
        required: Fields that must be there and not be null, under this name or an alias.
        aliases: Further names of fields, each with the canonical one.
        any_of: Of each of these groups one field must be there.
        types: What fields hold whose own type does not say it.
        ignored: Fields that a request may carry, with any value, and that are not looked at.
        as_requested: An answer of this type looks like a request: it leaves out what holds its default.
        example: A value of the type.
    """

    required: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    any_of: tuple[tuple[str, ...], ...] = ()
    types: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    as_requested: bool = False
    example: Any = None


_PLAIN = Shape()


def shape_of(kind: type) -> Shape:
    """What a Struct says of itself beyond its types."""
    shape: Shape = getattr(kind, "shape", _PLAIN)
    return shape
