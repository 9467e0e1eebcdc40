"""What every entity of the catalogue is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from app.decision.shape import Shape

#: An id, or a reference by id or key. The lookahead refuses a line feed, which `$` would let by.
Ref = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?![\s\S])", description="id or key")]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=2_000)]
Tag = Annotated[str, Meta(min_length=1, max_length=128)]
Instant = Annotated[datetime, Meta(tz=True)]
Percent = Annotated[int, Meta(ge=0, le=100)] | Annotated[float, Meta(ge=0, le=100)]
Unit = Annotated[float, Meta(ge=0, le=1)]
#: A duration that is given at all lasts: up to 100 years.
DurationMs = Annotated[int, Meta(ge=1, le=3_155_760_000_000)]
#: An IANA time zone, checked where it is used.
ZoneName = Annotated[str, Meta(min_length=1, max_length=64)]
Money = Annotated[float, Meta(ge=0, le=1e15)]
Status = Literal["draft", "active", "paused", "archived"]


class Entity(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What every entity has. `id` is empty only until the server has given one."""

    shape: ClassVar[Shape] = Shape(ignored=("createdAt", "updatedAt", "createdBy"))

    id: Ref = ""
    key: Ref | None = None
    name: Annotated[str, Meta(max_length=255)] = ""
    description: Text = ""
    status: Status = "active"
    version: Annotated[int, Meta(ge=0)] = 0
    created_at: Instant | None = None
    updated_at: Instant | None = None
    created_by: Annotated[str, Meta(max_length=256)] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of an entity's document."""
