"""One partition's state as this worker holds it: stored values, decoded cache, overlays, waiters, outbox.

Rules:

1.  `positions` is what the fold has reached in memory; `control` what is durable. A reader sees the fold's
    state: every record it reflects is on Kafka already.
2.  A customer changed by the batch in hand is pinned; others may leave the cache any time.
3.  Any failure between fold and write makes memory worthless: `drop` forgets it and fails who waits.
4.  Nothing is answered from a partition that is not `READY`.
"""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from app.decision.catalogue import TenantCatalogue
from app.decision.contacts.reserving import counted_contacts
from app.decision.state import Assigned, Contact, Customer, Recommendation
from config.metrics import Metrics
from tables.answers import Answers
from tables.codec import Change, MissingValueError, changes_of, load_customer, new_customer, settle
from tables.control import ORIGIN, Control, Mark, encode_control
from tables.counters import Counters
from tables.erasing import Erasing
from tables.fencing import PartitionProducer
from tables.layout import CONTROL_KEY, Kind
from tables.leases import Leases
from tables.marks import mark_of
from tables.outbox import Outbox
from tables.overlays import Overlays
from tables.rooms import Rooms
from tables.store import PartitionStore
from tables.traces import Traces
from tables.waiters import Waiters

#: Expired traces, and expired erasures, deleted with one batch.
SWEEP = 200


class PartitionClosedError(Exception):
    """The partition has no store on this worker. Retryable: it recovers or moved."""


class Phase(Enum):
    """Where a partition stands on this worker."""

    RECOVERING = "recovering"
    FOLDING = "folding"
    READY = "ready"
    STOPPED = "stopped"


class Batch:
    """One micro-batch's changes, ready for the changelog: its control record comes last."""

    def __init__(self, changes: list[Change], control: Control) -> None:
        self.control = control
        self.changes: list[Change] = [*changes, (CONTROL_KEY, encode_control(control))]


class Partition:
    """The state of one partition."""

    def __init__(self, number: int, cache_customers: int, max_waiters: int, metrics: Metrics) -> None:
        self.number = number
        self.phase = Phase.RECOVERING
        #: Why it is not ready, for people.
        self.reason = "waiting for its store"
        self.store: PartitionStore | None = None
        self.control: Control = ORIGIN
        self.positions: list[int] = list(ORIGIN.positions)
        #: What writes its changelog and decisions, while it is held.
        self.producer: PartitionProducer | None = None
        self._doubt: tuple[int, Exception] | None = None
        #: When Kafka last answered a fetch of it, epoch milliseconds; 0 when that is not known.
        self.heard_ms = 0
        self.overlays = Overlays()
        self.waiters = Waiters(max_waiters)
        self.outbox = Outbox()
        #: What is counted across customers.
        self.counters = Counters()
        self.leases = Leases(number)
        self.answers = Answers(metrics)
        self._held_by, self._takings = secrets.token_hex(8), itertools.count(1)
        self._cache: OrderedDict[bytes, Customer] = OrderedDict()
        self._cache_customers = cache_customers
        self._changed: dict[bytes, Customer] = {}
        self.traces = Traces()
        self.erasing = Erasing(self.traces, self.overlays, self.answers)
        self._folded: list[tuple[int, int, int]] = []
        self._marks: list[Mark | None] = list(ORIGIN.marks)
        self._hits = metrics.cache_hits_total
        self._misses = metrics.cache_misses_total

    @property
    def ready(self) -> bool:
        return self.phase is Phase.READY

    def attach(self, store: PartitionStore, producer: PartitionProducer | None = None) -> None:
        """Take the recovered store's position as this partition's."""
        self.drop("recovered anew")
        self.store = store
        self.traces.attach(store)
        self.erasing.attach(store)
        self.producer = producer
        self.control = store.control()
        self.positions = list(self.control.positions)
        self._marks = list(self.control.marks)
        self.outbox.restore(
            self.control.outbox_end, self.control.outbox_published, store.scan(Kind.OUTBOX.value)
        )
        self.counters.load(store, self.control.batch)
        self.answers.load(store)
        self.leases.load(store, f"{self._held_by}/{next(self._takings)}")

    def drop(self, reason: str) -> None:
        """Forget all that is in memory only, and fail who waits for it."""
        self._cache.clear()
        self._changed.clear()
        self.erasing.attach(None)
        self.traces.attach(None)
        self._folded.clear()
        self.counters.clear()
        self.leases.clear()
        self.answers.clear()
        self.overlays.clear()
        self.waiters.abandon(reason)
        self.store = self.producer = self._doubt = None
        self.heard_ms = 0

    def doubt_since(self, now_ms: int, error: Exception) -> None:
        """Its producer failed: it was fenced, or what it sent may land late or after a gap."""
        self._doubt = (now_ms, error)

    @property
    def doubt(self) -> Exception | None:
        """Why it must be taken anew, once Kafka is heard again: behind a new fence, what landed is known."""
        if self._doubt is None or self.heard_ms <= self._doubt[0]:
            return None
        return self._doubt[1]

    # -- reading

    def customer(self, key: bytes) -> Customer | None:
        """The customer as folded so far, or None. For readers; the fold uses `open`."""
        found = self._cache.get(key)
        if found is not None:
            self._cache.move_to_end(key)
            self._hits.inc()
            return found
        self._misses.inc()
        loaded = self._load(key)
        if loaded is not None:
            self._cache[key] = loaded
            self._evict()
        return loaded

    def contacts(self, key: bytes, customer: Customer | None, now_ms: int) -> list[Contact]:
        """The customer's contacts at `now_ms` (epoch ms): recorded, reserved, of decisions not folded yet."""
        underway = self.overlays.of(key)
        reserved = [one for overlay in underway for one in overlay.reserved]
        contacts = counted_contacts(customer, now_ms, reserved)
        contacts.extend([one for overlay in underway for one in overlay.contacts])
        return contacts

    def recommendations(self, key: bytes, customer: Customer | None) -> list[Recommendation]:
        """The customer's recommendations, oldest first, those not folded yet included."""
        known = [] if customer is None else list(customer.recommendations.entries)
        known.extend(overlay.recommendation for overlay in self.overlays.of(key))
        return known

    def budgets_of(self, tenant: TenantCatalogue, now_ms: int, asks: bool = True) -> Rooms:
        """What decisions of a tenant may spend at this instant, epoch milliseconds.

        `asks`: whether more is to be asked for where nothing is left.
        """
        return Rooms(self.leases, self.overlays, tenant, now_ms, asks)

    def assigned(self, key: bytes, customer: Customer | None) -> Mapping[str, Assigned]:
        """The customer's variants by experiment id, those of decisions not folded yet included."""
        known = {} if customer is None else customer.assigned
        for overlay in self.overlays.of(key):
            if overlay.assigned:
                known = {**known, **overlay.assigned}
        return known

    # -- folding

    def find(self, key: bytes) -> Customer | None:
        """The customer, when this partition holds it; for the fold, which may `pin` it then."""
        return self._changed.get(key) or self._cache.get(key) or self._load(key)

    def pin(self, key: bytes, customer: Customer) -> None:
        """Keep what is being folded into until the batch is written. It must be what `find` gave, or new."""
        if key not in self._changed:
            self._changed[key] = customer
            self._cache[key] = customer
            self._cache.move_to_end(key)

    def open(self, key: bytes) -> Customer:
        """The customer to fold into, pinned until the batch is written; a new one when unknown."""
        found = self.find(key) or new_customer(key)
        self.pin(key, found)
        return found

    def passed(self, topic: int, first: int, end: int, last: Any = None) -> None:
        """Records [first, end) of a topic are folded, skipped or dead-lettered; `last` is the last one."""
        self.positions[topic] = end
        if last is not None:
            self._marks[topic] = mark_of(last)
        self._folded.append((topic, first, end))

    @property
    def dirty(self) -> bool:
        """Whether there is anything to write."""
        shared = self.counters.dirty or self.leases.dirty or self.answers.dirty
        return bool(self._folded or self._changed or len(self.traces) or shared or self.outbox.unforgotten)

    def seal(self, now_ms: int, catalogue_version: int, expired: Sequence[bytes] = ()) -> Batch:
        """The batch in hand, for the changelog. Nothing may be folded until `written` or `drop`."""
        # What expired goes first: a marker may have been written anew since.
        changes: list[Change] = [*((key, None) for key in expired), *self.erasing.changes()]
        for customer in self._changed.values():
            changes.extend(changes_of(customer))
        changes.extend(self.traces.changes())
        changes.extend(self.answers.changes(now_ms))
        changes.extend(itertools.chain(self.counters.changes(), self.leases.changes()))
        changes.extend(self.outbox.changes())
        control = Control(
            epoch=self.control.epoch if self.producer is None else self.producer.epoch,
            batch=self.control.batch + 1,
            positions=tuple(self.positions),
            folded=tuple(self._folded),
            now_ms=now_ms,
            catalogue_version=catalogue_version,
            outbox_end=self.outbox.end,
            outbox_published=self.outbox.published,
            marks=tuple(self._marks),
        )
        return Batch(changes, control)

    def written(self, batch: Batch, first_offset: int, last_offset: int) -> None:
        """The changelog holds the batch: store it, with its position, in one atomic write."""
        self._store.apply(batch.changes, first_offset, last_offset)
        self.control = batch.control
        for customer in self._changed.values():
            settle(customer)
        self._changed.clear()
        self.erasing.written()
        self.traces.written()
        self._folded.clear()
        self.waiters.written()
        self.counters.written(batch.control.batch)
        self.leases.written()
        self.answers.written()
        self.outbox.written(batch.control.outbox_published)
        self._evict()

    def expired(self, now_ms: int, trace_retention_ms: int) -> list[bytes]:
        """Keys of the oldest traces and erasures that nobody has a use for, for the batch in hand to delete.

        Traces are stored in the order of time, of all tenants together: they go when the tenant that keeps
        them longest has no use for them. Those of others are no longer served by then.
        """
        traces = self.traces.expired(now_ms - trace_retention_ms, SWEEP)
        return [*traces, *self.erasing.expired(now_ms, SWEEP)]

    @property
    def _store(self) -> PartitionStore:
        if self.store is None:
            raise PartitionClosedError(f"partition {self.number} has no store: {self.reason}")
        return self.store

    def _load(self, key: bytes) -> Customer | None:
        store = self._store
        try:
            return load_customer(key, store.get, self.erasing.any)
        except MissingValueError as error:
            store.damage = error
            raise

    def _evict(self) -> None:
        cache, changed = self._cache, self._changed
        excess = len(cache) - self._cache_customers
        if excess <= 0:
            return
        pinned: list[bytes] = []
        while excess > 0 and cache:
            key, customer = cache.popitem(last=False)
            if key in changed:
                pinned.append(key)
                cache[key] = customer
                if len(pinned) >= len(changed):
                    break
            else:
                excess -= 1
