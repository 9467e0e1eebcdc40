"""A behavioural metric as the fold and decisions use it.

Rules of this module:

1.  Compiled once, at publish time: what an event adds and where it goes are closures, so that counting pays
    for nothing that a metric does not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from app.decision.state import RecentEvent
from app.decision.windows import Window

#: A window is kept in so many buckets.
BUCKETS = 60

#: Larger numbers are not counted: sums of them could leave the range of a float.
VALUE_MAX = 1e100

#: Longer texts are no value of `last`: state keeps the whole text.
TEXT_MAX = 1_024

#: What an event adds: a number to sum; a scalar to remember; the hash of a value to tell apart.
Value = str | int | float | bool

#: What a metric says of a customer; None is missing.
Figure = str | int | float | bool | None

Take = Callable[[object], Value | None]
Place = Callable[[Window, "CompiledMetric", int, Any], None]


class CompiledMetric(msgspec.Struct, frozen=True, gc=False):
    """A metric, compiled. `field` is the path inside the event's data, empty for a count."""

    key: str
    aggregate: str
    field: tuple[str, ...]
    width_ms: int
    window_ms: int | None
    filtered: bool
    #: The types of event that it counts, with their aliases.
    event_types: frozenset[str]
    #: 32 bits of what it counts, never 0; see `compiling`.
    fingerprint: int
    #: What an event adds by its data; None when any event adds 1.
    take: Take | None
    #: How a value goes into the window; None when it is added to its bucket.
    place: Place | None


class Past(Protocol):
    """What is still known of a customer's events one by one, in fold order."""

    @property
    def recent(self) -> Iterable[RecentEvent]: ...

    @property
    def recent_since_ms(self) -> int:
        """All events of this instant and later are among `recent`; 0 when all there ever were are."""
        ...


class Nothing(msgspec.Struct, frozen=True):
    """The past of a customer without events."""

    recent: tuple[RecentEvent, ...] = ()
    recent_since_ms: int = 0


NO_PAST = Nothing()
