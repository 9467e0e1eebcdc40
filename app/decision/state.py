"""What is known about one customer, as the fold keeps it and a decision reads it.

Rules of this module:

1.  A `Customer` is the unit of change: one fold owns it at a time, replaces its parts, and everything
    that changed is committed together (see `tables/`).
2.  Instants are epoch milliseconds (`*_ms`); nothing here reads a clock.
3.  Every list has a bound. Long ones are `Log`s (see `log`), so that one more entry rewrites at most
    one segment. Contacts are in fold order, not in time order: an impression may be reported late.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.decision.log import Log
from app.decision.windows import Window as Window

DAY_MS = 86_400_000

#: Entries in one stored segment of each log: one more entry rewrites at most so many. Part of the stored
#: format: a change needs a new version of the kind.
CONTACT_SEGMENT = 32
RECOMMENDATION_SEGMENT = 4
SEEN_SEGMENT = 16
TOTAL_SEGMENT = 32
RECENT_SEGMENT = 8
INTERACTION_SEGMENT = 4

#: A customer's idempotency keys are remembered for this long and this many, whichever is less.
SEEN_WINDOW_MS = 7 * DAY_MS
SEEN_MAX = 1_000

#: Contacts are kept for this long and this many, whichever is less.
CONTACT_WINDOW_MS = 400 * DAY_MS
CONTACT_MAX = 2_000

#: Totals of older contacts, at most; past it they get coarser (see `contacts.totals`).
TOTALS_MAX = 2_000

#: Active reservations, at most; what is more counts as a contact for good (see `contacts.reserving`).
RESERVED_MAX = 500
#: No reservation lasts longer.
RESERVATION_MAX_MS = 30 * DAY_MS

#: Suppressions that are kept at once, those that end last.
SUPPRESSIONS_MAX = 500

#: Events are kept for this long, the last so many, so that a new metric can count them.
RECENT_WINDOW_MS = 30 * DAY_MS
RECENT_MAX = 50
#: The JSON of a larger event's data is not kept with it.
RECENT_DATA_BYTES = 1_024

#: Experiments that a customer is assigned a variant of; past it the oldest are forgotten.
ASSIGNED_MAX = 100

#: Positive responses to decisions, so that each decision is credited once; the last so many.
CREDITED_MAX = 50

#: Interactions that are kept to be shown, the last so many.
INTERACTIONS_MAX = 20

#: Recommendations can be responded to for this long; the customer's last so many.
RECOMMENDATION_WINDOW_MS = 30 * DAY_MS
RECOMMENDATION_MAX = 50

#: Answers that recommend gives again under the same idempotency key: for this long, the last so many.
ANSWER_WINDOW_MS = 10 * 60_000
ANSWERS_MAX = 20
#: Bytes of such an answer, at most; recommend refuses a larger one.
ANSWER_MAX_BYTES = 512 * 1024

#: Responses that name a recommendation whose decision is not folded yet wait here, this many and this long.
PARKED_MAX = 20
PARKED_WINDOW_MS = 10 * 60_000
PARKED_BYTES = 4_096

#: An id as state keeps it; empty when a response named none.
StoredId = Annotated[str, msgspec.Meta(max_length=128)]

#: The value of a field that a model looked at.
FEATURE_TEXT_MAX = 128
FeatureValue = bool | int | float | Annotated[str, msgspec.Meta(max_length=FEATURE_TEXT_MAX)] | None

#: What a model looked at, in the order of its fields; and the model, with a hash of what it learns by.
Features = Annotated[tuple[FeatureValue, ...], msgspec.Meta(max_length=32)]
ModelKey = Annotated[str, msgspec.Meta(max_length=160)]

Scalar = str | int | float | bool | None
AttributeValue = Scalar | list[Scalar]


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """What the operator's systems said about the customer."""

    attributes: dict[str, AttributeValue] = {}
    tags: tuple[str, ...] = ()
    #: purpose or channel id -> "granted" | "revoked"
    consent: dict[str, str] = {}
    time_zone: str | None = None
    locale: str | None = None
    updated_ms: int = 0


class Contact(msgspec.Struct, frozen=True, array_like=True):
    """One counted contact: a recorded impression, or a decision on an implicit channel."""

    at_ms: int
    offer_id: str
    creative_id: str
    channel_id: str
    category_id: str
    placement_id: str | None = None


class ContactTotal(msgspec.Struct, frozen=True, array_like=True):
    """Contacts alike in everything but their time, no longer kept one by one: first, last, how many.

    An id may be `contacts.totals.ANY`: contacts with different ids there, to be counted for each of them.
    """

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


class RecentEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
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
    model_id: ModelKey | None = None
    features: Features = ()


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


class Interaction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A response that counted. The creative is empty, or the channel, where none was named."""

    interaction_id: str
    at_ms: int
    outcome: str
    offer_id: str
    creative_id: str
    channel_id: str
    recommendation_id: str | None = None
    rank: int | None = None


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """A response whose recommendation is not folded yet: its canonical body, its place in the log."""

    parked_ms: int
    written_ms: int
    source: str
    body: bytes


class Erasure(msgspec.Struct):
    """The last erasure of a customer: what happened up to `requested_ms` is not folded any more.

    `head_stored` says whether the store has more of the customer than that: there is something new since.
    """

    erasure_id: str
    requested_ms: int
    erased_ms: int
    head_stored: bool = False


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
        "erasure",
        "interactions",
        "known_since_ms",
        "last_event_ms",
        "metrics",
        "parked",
        "profile",
        "profile_changed",
        "recent",
        "recent_since_ms",
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
        #: All events of this instant and later are among `recent`; 0 when all there ever were are.
        self.recent_since_ms = 0
        self.reserved: list[Reserved] = []
        self.suppressions: list[Suppression] = []
        #: By experiment id.
        self.assigned: dict[str, Assigned] = {}
        #: In fold order.
        self.interactions: Log[Interaction] = Log(INTERACTION_SEGMENT)
        #: Hashes of the decisions whose positive response was counted, oldest first.
        self.credited: list[int] = []
        self.erasure: Erasure | None = None
