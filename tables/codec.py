"""A customer to and from stored values, byte by byte as `layout` says.

The behaviour value is the head: it says which segments of which logs exist, so that loading a customer
reads just those. What changed since the last batch is written, nothing else. Recent events lie in segments
once those are full; the last few are part of the head, so that most events write one key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from app.decision.erasing import nothing_new
from app.decision.log import Log
from app.decision.state import (
    CONTACT_SEGMENT,
    INTERACTION_SEGMENT,
    RECENT_SEGMENT,
    RECOMMENDATION_SEGMENT,
    SEEN_SEGMENT,
    TOTAL_SEGMENT,
    Assigned,
    Contact,
    ContactTotal,
    Customer,
    Interaction,
    Parked,
    Profile,
    RecentEvent,
    Recommendation,
    Reserved,
    Seen,
    Suppression,
    Window,
)
from config.topics import CUSTOMER_TOPICS
from tables.erased import erasure_changes, load_erasure
from tables.layout import (
    Kind,
    behaviour_key,
    customer_key,
    pack,
    profile_key,
    segment_key,
    split_customer_key,
    unpack,
)

#: A value to write, or None to delete the key.
Change = tuple[bytes, bytes | None]

T = TypeVar("T")


class MissingValueError(Exception):
    """The store lost a value that another one names: it must be rebuilt. Internal."""


class _Behaviour(msgspec.Struct, array_like=True):
    """The stored head of a customer. Append fields only at the end, with a default."""

    watermarks: list[int]
    rekeyed: dict[str, int]
    known_since_ms: int
    last_event_ms: int
    metrics: dict[str, Window]
    has_profile: bool
    #: First and next sequence number of each log: contacts, recommendations, seen.
    contacts: tuple[int, int]
    recommendations: tuple[int, int]
    seen: tuple[int, int]
    parked: list[Parked]
    totals: tuple[int, int] = (0, 0)
    recent: tuple[int, int] = (0, 0)
    reserved: list[Reserved] = []
    suppressions: list[Suppression] = []
    assigned: dict[str, Assigned] = {}
    credited: list[int] = []
    #: -1: written before recent events were kept.
    recent_since_ms: int = -1
    #: The recent events of the segment that is not full yet: one more event writes no key of its own.
    recent_tail: list[RecentEvent] = []
    interactions: tuple[int, int] = (0, 0)


_encoder = msgspec.msgpack.Encoder()
_behaviour = msgspec.msgpack.Decoder(_Behaviour)
_profile = msgspec.msgpack.Decoder(Profile)


class _StoredLog(Generic[T]):
    """How one log lies in the store: its kind, its segments' size and their decoder."""

    def __init__(self, kind: Kind, size: int, entry: type[T]) -> None:
        self.kind = kind
        self.size = size
        self._decoder = msgspec.msgpack.Decoder(list[entry])  # type: ignore[valid-type]

    def load(self, key: bytes, bounds: tuple[int, int], get: Callable[[bytes], bytes | None]) -> Log[T]:
        base, end = bounds
        entries: list[T] = []
        if end > base:
            for segment in range(base // self.size, (end - 1) // self.size + 1):
                stored = _required(get, segment_key(self.kind, key, segment))
                entries += self._decoder.decode(unpack(self.kind, stored))
        return Log(self.size, base, entries)


_contact_log = _StoredLog(Kind.CONTACTS, CONTACT_SEGMENT, Contact)
_recommendation_log = _StoredLog(Kind.RECOMMENDED, RECOMMENDATION_SEGMENT, Recommendation)
_seen_log = _StoredLog(Kind.SEEN, SEEN_SEGMENT, Seen)
_total_log = _StoredLog(Kind.CONTACT_TOTALS, TOTAL_SEGMENT, ContactTotal)
_recent_log = _StoredLog(Kind.RECENT, RECENT_SEGMENT, RecentEvent)
_interaction_log = _StoredLog(Kind.INTERACTIONS, INTERACTION_SEGMENT, Interaction)
_LOG_KINDS = (
    Kind.CONTACTS,
    Kind.RECOMMENDED,
    Kind.SEEN,
    Kind.CONTACT_TOTALS,
    Kind.RECENT,
    Kind.INTERACTIONS,
)


def new_customer(key: bytes) -> Customer:
    """A customer nothing is known of yet."""
    tenant, customer_id = split_customer_key(key)
    customer = Customer(tenant, customer_id)
    customer.watermarks = [0] * len(CUSTOMER_TOPICS)
    return customer


def load_customer(key: bytes, get: Callable[[bytes], bytes | None], erasures: bool = True) -> Customer | None:
    """The customer stored under a customer key, or None. Of an erased one, only what bars its way back.

    Args:
        key: the customer key, see `layout.customer_key`.
        get: the store's lookup.
        erasures: whether the store has any: without, none is looked up.

    Raises:
        StateFormatError: a value has an unknown version.
        MissingValueError: a value that the head names is not there.
    """
    value = get(behaviour_key(key))
    customer = None if value is None else _load_customer(key, value, get)
    return _with_erasure(key, customer, get) if erasures else customer


def _with_erasure(
    key: bytes, customer: Customer | None, get: Callable[[bytes], bytes | None]
) -> Customer | None:
    found = load_erasure(key, get)
    if found is None:
        return customer
    erasure, marker = found
    erasure.head_stored = customer is not None
    if customer is None:
        customer = new_customer(key)
        customer.watermarks[: len(marker.watermarks)] = marker.watermarks
        customer.rekeyed = marker.rekeyed
    customer.erasure = erasure
    return customer


def _load_customer(key: bytes, value: bytes, get: Callable[[bytes], bytes | None]) -> Customer:
    head = _behaviour.decode(unpack(Kind.BEHAVIOUR, value))
    customer = new_customer(key)
    stored = head.watermarks
    customer.watermarks[: len(stored)] = stored
    customer.rekeyed = head.rekeyed
    customer.known_since_ms = head.known_since_ms
    customer.last_event_ms = head.last_event_ms
    customer.metrics = head.metrics
    customer.parked = head.parked
    if head.has_profile:
        customer.profile = _profile.decode(unpack(Kind.PROFILE, _required(get, profile_key(key))))
    customer.contacts = _contact_log.load(key, head.contacts, get)
    customer.recommendations = _recommendation_log.load(key, head.recommendations, get)
    customer.seen = _seen_log.load(key, head.seen, get)
    customer.totals = _total_log.load(key, head.totals, get)
    customer.recent = _recent(key, head, get)
    customer.interactions = _interaction_log.load(key, head.interactions, get)
    customer.reserved = head.reserved
    customer.suppressions = head.suppressions
    customer.assigned = head.assigned
    customer.credited = head.credited
    customer.recent_since_ms = _recent_since_ms(head)
    return customer


def changes_of(customer: Customer) -> list[Change]:
    """What must be written so that the store holds this customer as it is now. The head comes last."""
    key = customer_key(customer.tenant_id, customer.customer_id)
    changes: list[Change] = []
    erasure = customer.erasure
    if erasure is not None:
        blank = nothing_new(customer)
        if blank or not erasure.head_stored:
            changes.extend(erasure_changes(customer, erasure))
        if blank:
            # A response that was parked since, and went again, may have left a head.
            return [*changes, (behaviour_key(key), None)]
    if customer.profile_changed and customer.profile is not None:
        changes.append((profile_key(key), pack(Kind.PROFILE, _encoder.encode(customer.profile))))
    for kind, log in zip(_LOG_KINDS, _logs(customer), strict=True):
        if log.changed_from is not None or log.stored_base != log.base:
            _log_changes(kind, key, log, changes)
    changes.append((behaviour_key(key), pack(Kind.BEHAVIOUR, _encoder.encode(_head(customer)))))
    return changes


def keys_of(customer: Customer) -> list[bytes]:
    """Every key of the store that belongs to this customer, traces and markers apart.

    What a store keeps of one customer must be found from here: it is what an erasure deletes. Some keys may
    not be there.
    """
    key = customer_key(customer.tenant_id, customer.customer_id)
    keys = [behaviour_key(key), profile_key(key)]
    for kind, log in zip(_LOG_KINDS, _logs(customer), strict=True):
        segments = range(log.stored_base // log.size, -(-log.end // log.size))
        keys.extend(segment_key(kind, key, segment) for segment in segments)
    return keys


def settle(customer: Customer) -> None:
    """The store now holds this customer as it is."""
    customer.profile_changed = False
    if customer.erasure is not None:
        customer.erasure.head_stored = not nothing_new(customer)
    for log in _logs(customer):
        log.settle()


def _head(customer: Customer) -> _Behaviour:
    contacts, recommendations, seen, totals, recent, interactions = _logs(customer)
    return _Behaviour(
        customer.watermarks,
        customer.rekeyed,
        customer.known_since_ms,
        customer.last_event_ms,
        customer.metrics,
        customer.profile is not None,
        (contacts.base, contacts.end),
        (recommendations.base, recommendations.end),
        (seen.base, seen.end),
        customer.parked,
        (totals.base, totals.end),
        (recent.base, recent.end),
        customer.reserved,
        customer.suppressions,
        customer.assigned,
        customer.credited,
        customer.recent_since_ms,
        recent.entries[len(recent.entries) // recent.size * recent.size :],
        (interactions.base, interactions.end),
    )


def _recent(key: bytes, head: _Behaviour, get: Callable[[bytes], bytes | None]) -> Log[RecentEvent]:
    """The recent events: full segments from the store, the last ones from the head."""
    base, end = head.recent
    log = _recent_log.load(key, (base, end - len(head.recent_tail)), get)
    return Log(log.size, base, log.entries + head.recent_tail)


def _recent_since_ms(head: _Behaviour) -> int:
    """Of a customer from before recent events were kept: none of the events up to the last one is."""
    if head.recent_since_ms >= 0:
        return head.recent_since_ms
    return head.last_event_ms + 1 if head.last_event_ms else 0


def _logs(customer: Customer) -> tuple[Log[Any], Log[Any], Log[Any], Log[Any], Log[Any], Log[Any]]:
    """The customer's logs, in the order of `_LOG_KINDS`."""
    return (
        customer.contacts,
        customer.recommendations,
        customer.seen,
        customer.totals,
        customer.recent,
        customer.interactions,
    )


def _log_changes(kind: Kind, key: bytes, log: Log[Any], changes: list[Change]) -> None:
    changed = log.changed_segments()
    if kind is Kind.RECENT:
        # The head has the last ones.
        changed = range(changed.start, log.end // log.size)
        if not changed and log.stored_base == log.base:
            return
    for segment in log.dropped_segments():
        changes.append((segment_key(kind, key, segment), None))
    for segment in changed:
        changes.append((segment_key(kind, key, segment), pack(kind, _encoder.encode(log.segment(segment)))))


def _required(get: Callable[[bytes], bytes | None], key: bytes) -> bytes:
    value = get(key)
    if value is None:
        raise MissingValueError(f"the store lacks {key!r}, which its customer's head names")
    return value
