"""Decisions this process made whose records are not folded yet, laid beside the state, never in it.

Rules:

1.  A decision's overlay exists from the moment it is decided, so the next concurrent call sees it.
2.  The fold of its own record takes it down. Records of one process are folded in `sequence` order, so the
    fold of a later one takes down every earlier one too: what was not folded by then never reached Kafka.
3.  A publish that certainly did not happen takes its overlay down at once; one whose outcome is unknown
    keeps it (a contact too many is counted, never one too few).
4.  An answer promised to an idempotency key lasts as long as its overlay, and counts by its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from app.decision.months import month_of
from app.decision.state import Assigned, Contact, Recommendation, Reserved
from tables.layout import shared_key, split_customer_key

#: Decisions of one partition that may wait for their fold. Kafka away for long would make them grow for ever.
OVERLAYS_MAX = 10_000


#: Bytes of answers of one partition that may wait for their decision's fold: past it no decision is made.
PROMISED_MAX_BYTES = 32 * 1024 * 1024


class Promise(msgspec.Struct, frozen=True):
    """The answer to an idempotency key whose decision is not folded yet, for whoever asks again.

    `given` is what the call is answered, or the error it ends with.
    """

    key_hash: int
    size: int
    given: asyncio.Future[bytes]


class Overlay(msgspec.Struct, frozen=True):
    """One decision made and not folded."""

    sequence: int
    customer: bytes
    recommendation: Recommendation
    contacts: tuple[Contact, ...]
    reserved: tuple[Reserved, ...] = ()
    #: What it assigned anew, by experiment id.
    assigned: Mapping[str, Assigned] = {}
    promise: Promise | None = None


class Overlays:
    """The overlays of one partition.

    Args:
        first: the first decision's number; higher than any this process gave for the partition before, since
            a record of then may still be folded, and takes down all overlays up to its number.
    """

    def __init__(self, first: int = 1) -> None:
        self._by_sequence: dict[int, Overlay] = {}
        self._by_customer: dict[bytes, list[Overlay]] = {}
        self._deliveries: dict[bytes, int] = {}
        self._promised = 0
        self._decisions: dict[tuple[bytes, int], int] = {}
        self._next = first

    def __len__(self) -> int:
        return len(self._by_sequence)

    @property
    def full(self) -> bool:
        """Whether no further decision may be made before some are folded."""
        return len(self._by_sequence) >= OVERLAYS_MAX or self._promised >= PROMISED_MAX_BYTES

    def next_sequence(self) -> int:
        """The number of the decision being made; each is given once."""
        sequence = self._next
        self._next += 1
        return sequence

    def add(self, overlay: Overlay) -> None:
        self._by_sequence[overlay.sequence] = overlay
        self._by_customer.setdefault(overlay.customer, []).append(overlay)
        self._count(overlay, 1)
        self._count_decision(overlay, 1)

    def of(self, customer: bytes) -> Sequence[Overlay]:
        """The customer's overlays, oldest first."""
        return self._by_customer.get(customer, ())

    def deliveries(self, name: bytes) -> int:
        """Contacts under way, reserved ones too, of `tenant:offer/<id>` or `tenant:creative/<id>`."""
        return self._deliveries.get(name, 0)

    def decisions(self, tenant_id: str, month: int) -> int:
        """A tenant's decisions under way that show something, made in a month."""
        return self._decisions.get((tenant_id.encode(), month), 0)

    def folded(self, sequence: int) -> None:
        """The record with this sequence was folded: it and every earlier one come down."""
        for number in list(self._until(sequence)):
            self._remove(number)

    def withdraw(self, sequence: int) -> None:
        """This decision's record certainly did not reach Kafka."""
        if sequence in self._by_sequence:
            self._remove(sequence)

    def forget(self, customer: bytes) -> None:
        """The customer was erased: decisions under way are none of its any more, whatever becomes of them."""
        for overlay in tuple(self.of(customer)):
            self._remove(overlay.sequence)

    def clear(self) -> None:
        """The partition is no longer this process's to answer for. Sequence numbers go on."""
        self._by_sequence.clear()
        self._by_customer.clear()
        self._deliveries.clear()
        self._promised = 0
        self._decisions.clear()

    def _until(self, sequence: int) -> Iterator[int]:
        for number in self._by_sequence:
            if number > sequence:
                return
            yield number

    def _remove(self, sequence: int) -> None:
        overlay = self._by_sequence.pop(sequence)
        self._count(overlay, -1)
        self._count_decision(overlay, -1)
        siblings = self._by_customer[overlay.customer]
        siblings.remove(overlay)
        if not siblings:
            del self._by_customer[overlay.customer]

    def _count_decision(self, overlay: Overlay, by: int) -> None:
        if not overlay.recommendation.shown:
            return
        tenant, counts = overlay.customer.partition(b":")[0], self._decisions
        key = tenant, month_of(overlay.recommendation.at_ms)
        left = counts.get(key, 0) + by
        if left:
            counts[key] = left
        else:
            del counts[key]

    def _count(self, overlay: Overlay, by: int) -> None:
        if overlay.promise is not None:
            self._promised += by * overlay.promise.size
        if not overlay.contacts and not overlay.reserved:
            return
        tenant_id, counts = split_customer_key(overlay.customer)[0], self._deliveries
        for contact in (*overlay.contacts, *(one.contact for one in overlay.reserved)):
            for key in (f"offer/{contact.offer_id}", f"creative/{contact.creative_id}"):
                name = shared_key(tenant_id, key)
                left = counts.get(name, 0) + by
                if left:
                    counts[name] = left
                else:
                    del counts[name]
