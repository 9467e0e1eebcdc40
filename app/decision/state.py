"""What is known about one customer, as the fold keeps it and a decision reads it.

Rules of this module:

1.  A `Customer` is the unit of change: one fold owns it at a time, replaces its parts, and everything
    that changed is committed together (see `tables/`).
2.  Instants are epoch milliseconds (`*_ms`); nothing here reads a clock.
3.  Every list has a bound. Long ones are `Log`s, stored in segments, so that one more entry rewrites at
    most one segment. Contacts are in fold order, not in time order: an impression may be reported late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Generic, TypeVar

import msgspec

DAY_MS = 86_400_000

#: Entries in one stored segment of each log: one more entry rewrites at most so many. Part of the stored
#: format: a change needs a new version of the kind.
CONTACT_SEGMENT = 32
RECOMMENDATION_SEGMENT = 4
SEEN_SEGMENT = 16
TOTAL_SEGMENT = 32
RECENT_SEGMENT = 8

#: A customer's idempotency keys are remembered for this long and this many, whichever is less.
SEEN_WINDOW_MS = 7 * DAY_MS
SEEN_MAX = 1_000

#: Contacts are kept for this long and this many, whichever is less.
CONTACT_WINDOW_MS = 400 * DAY_MS
CONTACT_MAX = 2_000

#: Events are kept for this long, the last so many, so that a new metric can count them.
RECENT_WINDOW_MS = 30 * DAY_MS
RECENT_MAX = 50

#: Experiments that a customer is assigned a variant of; past it the oldest are forgotten.
ASSIGNED_MAX = 100

#: Positive responses to decisions, so that each decision is credited once; the last so many.
CREDITED_MAX = 50

#: Recommendations can be responded to for this long; the customer's last so many.
RECOMMENDATION_WINDOW_MS = 30 * DAY_MS
RECOMMENDATION_MAX = 50

#: Responses that name a recommendation whose decision is not folded yet wait here, this many and this long.
PARKED_MAX = 20
PARKED_WINDOW_MS = 10 * 60_000
PARKED_BYTES = 4_096

#: An id as state keeps it; empty when a response named none.
StoredId = Annotated[str, msgspec.Meta(max_length=128)]

#: The value of a field that a model looked at.
FEATURE_TEXT_MAX = 128
FeatureValue = bool | int | float | Annotated[str, msgspec.Meta(max_length=FEATURE_TEXT_MAX)] | None

Scalar = str | int | float | bool | None
AttributeValue = Scalar | list[Scalar]

T = TypeVar("T")

#: Never changed.
_NOTHING: list[Any] = []


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """What the operator's systems said about the customer."""

    attributes: dict[str, AttributeValue] = {}
    tags: tuple[str, ...] = ()
    #: purpose or channel id -> "granted" | "revoked"
    consent: dict[str, str] = {}
    time_zone: str | None = None
    locale: str | None = None
    updated_ms: int = 0


class Window(msgspec.Struct, array_like=True):
    """One metric's buckets: index (event time // width) to value. Width 0: all time, in bucket 0."""

    width_ms: int
    buckets: dict[int, float] = {}


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """One counted contact: a recorded impression, or a decision on an implicit channel."""

    at_ms: int
    offer_id: str
    creative_id: str
    channel_id: str
    category_id: str
    placement_id: str | None = None


class ContactTotal(msgspec.Struct, frozen=True, array_like=True):
    """Contacts alike in everything but their time, no longer kept one by one: first, last, how many."""

    first_ms: int
    last_ms: int
    count: int
    offer_id: str
    creative_id: str
    channel_id: str
    category_id: str
    placement_id: str | None = None


class Reserved(msgspec.Struct, frozen=True, array_like=True):
    """A contact that a decision on an explicit channel reserved: until it is reported or time frees it."""

    until_ms: int
    recommendation_id: str
    rank: int
    contact: Contact


class Suppression(msgspec.Struct, frozen=True, array_like=True):
    """What an outcome closed for a while: candidates in (dimension, entity id), under a contact policy.

    It holds from `from_ms` until just before `until_ms`. The global dimension has no entity id.
    """

    suppression_id: str
    policy_id: str
    dimension: str
    entity_id: str
    outcome: str
    from_ms: int
    until_ms: int


class Assigned(msgspec.Struct, frozen=True, array_like=True):
    """The variant of an experiment that a customer has; exposed and converted once, 0 until then."""

    variant: str
    assigned_ms: int
    exposed_ms: int = 0
    converted_ms: int = 0


class RecentEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event as it was counted; `data` is its JSON, empty when it was too large to keep."""

    at_ms: int
    type: str
    data: bytes = b""


class Shown(msgspec.Struct, frozen=True, array_like=True):
    """One ranked decision inside a recommendation, as respond must find it again. `rank` is 1-based.

    `probability` is the selection probability (0–1); `features` are what `model_id` scored it by, for that
    model to learn from the response.
    """

    rank: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    offer_id: StoredId
    creative_id: StoredId
    channel_id: StoredId
    category_id: StoredId
    placement_id: StoredId | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    experiment_id: StoredId | None = None
    variant: StoredId | None = None
    model_id: Annotated[str, msgspec.Meta(max_length=160)] | None = None
    features: Annotated[tuple[FeatureValue, ...], msgspec.Meta(max_length=32)] = ()


class Recommendation(msgspec.Struct, frozen=True, array_like=True):
    """The ordered result of one recommend call.

    `experiment_id` and `variant` name the experiment between scorings that all of it is part of.
    """

    recommendation_id: str
    at_ms: int
    decision_flow_id: str
    shown: tuple[Shown, ...]
    trace_id: str | None = None
    experiment_id: StoredId | None = None
    variant: StoredId | None = None


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """An idempotency key that counted: 64-bit hash of its scope and key, and of what must not differ."""

    key_hash: int
    at_ms: int
    fingerprint: int = 0


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """A response whose recommendation is not folded yet: its canonical body, its place in the log."""

    parked_ms: int
    written_ms: int
    source: str
    body: bytes


class Log(Generic[T]):
    """An append-only list with a numbered front, stored in segments of `size` entries.

    Invariant: entry i has sequence number `base + i`; segment s holds the sequence numbers
    [s * size, (s + 1) * size); `base` is a multiple of `size`.
    """

    __slots__ = ("base", "changed_from", "entries", "size", "stored_base")

    def __init__(self, size: int, base: int = 0, entries: list[T] | None = None) -> None:
        self.size = size
        self.base = base
        #: Most customers have nothing in most logs: until the first entry they share one empty list.
        self.entries: list[T] = entries or _NOTHING
        #: First segment in the store; those between it and `base` await deletion.
        self.stored_base = base
        #: Sequence number from which the store is behind; None when it is level.
        self.changed_from: int | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self.entries)

    @property
    def end(self) -> int:
        """The sequence number of the next entry."""
        return self.base + len(self.entries)

    def append(self, entry: T) -> None:
        if self.changed_from is None:
            self.changed_from = self.end
        if self.entries is _NOTHING:
            self.entries = []
        self.entries.append(entry)

    def replace(self, index: int, entry: T) -> None:
        """Put another entry in the place of the one at this index (0-based, from `base`)."""
        sequence = self.base + index
        if self.changed_from is None or sequence < self.changed_from:
            self.changed_from = sequence
        self.entries[index] = entry

    def trim(self, keep: int, expired: Callable[[T], bool]) -> list[T]:
        """Forget whole segments from the front: those past `keep` entries, or all of whose entries expired.

        Returns the entries that went, oldest first. Entries within the bounds always stay; up to one
        segment more than `keep` may stay.
        """
        gone = 0
        while len(self.entries) - gone >= self.size:
            segment = self.entries[gone : gone + self.size]
            over = len(self.entries) - gone - self.size >= keep
            if not over and not all(expired(entry) for entry in segment):
                break
            gone += self.size
        if not gone:
            return []
        forgotten = self.entries[:gone]
        del self.entries[:gone]
        self.base += gone
        if self.changed_from is not None:
            self.changed_from = max(self.changed_from, self.base)
        return forgotten

    def segment(self, number: int) -> list[T]:
        """The entries of one segment, as the store keeps it."""
        start = number * self.size - self.base
        return self.entries[max(start, 0) : start + self.size]

    def changed_segments(self) -> range:
        """Numbers of the segments that the store must write."""
        if self.changed_from is None or not self.entries:
            return range(0)
        return range(self.changed_from // self.size, (self.end - 1) // self.size + 1)

    def dropped_segments(self) -> range:
        """Numbers of the segments that the store must delete."""
        return range(self.stored_base // self.size, self.base // self.size)

    def settle(self) -> None:
        """The store is level with this log."""
        self.changed_from = None
        self.stored_base = self.base


class Customer:
    """Everything the fold keeps for one customer of one tenant.

    `watermarks` holds, for each source topic in `config.topics` order, the next offset this customer has
    not folded; `rekeyed` the same for records that came by way of another partition, under
    "topic/partition". `known_since_ms` is 0 until a profile, event or response made the customer known.
    """

    __slots__ = (
        "assigned",
        "contacts",
        "credited",
        "customer_id",
        "known_since_ms",
        "last_event_ms",
        "metrics",
        "parked",
        "profile",
        "profile_changed",
        "recent",
        "recommendations",
        "rekeyed",
        "reserved",
        "seen",
        "seen_index",
        "suppressions",
        "tenant_id",
        "totals",
        "watermarks",
    )

    def __init__(self, tenant_id: str, customer_id: str) -> None:
        self.tenant_id = tenant_id
        self.customer_id = customer_id
        self.watermarks: list[int] = []
        self.rekeyed: dict[str, int] = {}
        self.known_since_ms = 0
        self.last_event_ms = 0
        self.profile: Profile | None = None
        self.profile_changed = False
        self.metrics: dict[str, Window] = {}
        self.contacts: Log[Contact] = Log(CONTACT_SEGMENT)
        self.recommendations: Log[Recommendation] = Log(RECOMMENDATION_SEGMENT)
        self.seen: Log[Seen] = Log(SEEN_SEGMENT)
        #: Latest entry by key hash, built on first use; see `fold`.
        self.seen_index: dict[int, Seen] | None = None
        self.parked: list[Parked] = []
        #: Contacts that `contacts` no longer holds.
        self.totals: Log[ContactTotal] = Log(TOTAL_SEGMENT)
        self.recent: Log[RecentEvent] = Log(RECENT_SEGMENT)
        self.reserved: list[Reserved] = []
        self.suppressions: list[Suppression] = []
        #: By experiment id.
        self.assigned: dict[str, Assigned] = {}
        #: Hashes of the decisions whose positive response was counted, oldest first.
        self.credited: list[int] = []
