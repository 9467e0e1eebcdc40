"""Budgets as one partition holds them: what it may spend, and what it granted as the owner of their keys.

Rules:

1.  Leases and ledgers are changed by the fold only. What else is here (blocks asked back, keys that are
    short) is memory of this taking.
2.  What may be spent now is the lease less the decisions under way and the deliveries being given back. So a
    release that is folded never takes what a decision counts on: see `notices.Released`.
3.  A release of another taking is void: nobody here held back what it gives.
4.  Days are forgotten two days after: nothing is granted for them any more.
5.  All of it is in memory. There are as many keys as budgets that were ever active.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta

import msgspec

from app.decision.budgets import TOTAL
from app.decision.deliveries import Delivery
from app.decision.leases import Answer, Book, Holding, answer, returned
from app.decision.notices import Granted, Released, Returned, Wanted
from tables.codec import Change
from tables.layout import Kind, pack, shared_key, unpack
from tables.store import PartitionStore


class Lease(msgspec.Struct, array_like=True):
    """What a partition may spend of a budget, by period; deliveries count in it from `since_ms` on."""

    since_ms: int
    periods: dict[str, Holding] = {}


#: What was granted of a budget, by period.
Ledger = dict[str, Book]

#: A key and a period.
Account = tuple[bytes, str]

_encode = msgspec.msgpack.Encoder().encode
_lease = msgspec.msgpack.Decoder(Lease).decode
_ledger = msgspec.msgpack.Decoder(Ledger).decode


class Leases:
    """One partition's leases and ledgers.

    Args:
        number: the partition's.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.leases: dict[bytes, Lease] = {}
        self.ledgers: dict[bytes, Ledger] = {}
        self._leases_changed: dict[bytes, None] = {}
        self._ledgers_changed: dict[bytes, None] = {}
        #: Names this taking.
        self.holder = ""
        #: What is held back from decisions until its release is folded; the last number folded of each.
        self.releasing: dict[Account, Released] = {}
        self._released: dict[Account, int] = {}
        #: Keys whose lease may be low, and those that a decision found empty.
        self.low: dict[bytes, None] = {}
        self.hungry: dict[bytes, None] = {}
        #: Accounts whose blocks the owner asked back.
        self.recalled: dict[Account, None] = {}
        #: The size of the last block granted.
        self.blocks: dict[Account, int] = {}
        #: Set when something above is to be seen to.
        self.woken = asyncio.Event()

    def load(self, store: PartitionStore, holder: str) -> None:
        """Take up from the store, as a new holder."""
        self.clear()
        self.holder = holder
        for key, value in store.scan(Kind.LEASE.value):
            self.leases[key[1:]] = _lease(unpack(Kind.LEASE, value))
        for key, value in store.scan(Kind.LEDGER.value):
            self.ledgers[key[1:]] = _ledger(unpack(Kind.LEDGER, value))

    def clear(self) -> None:
        for each in (self.leases, self.ledgers, self._leases_changed, self._ledgers_changed):
            each.clear()
        for memory in (self.releasing, self._released, self.low, self.hungry, self.recalled, self.blocks):
            memory.clear()
        self.holder = ""

    # -- the lease

    def holding(self, account: Account) -> Holding:
        """What this partition holds of an account; not to be changed."""
        lease = self.leases.get(account[0])
        return _NOTHING if lease is None else lease.periods.get(account[1], _NOTHING)

    def left(self, account: Account) -> int:
        """What is left of an account, less what is being given back; decisions under way not counted."""
        releasing = self.releasing.get(account)
        return self.holding(account).left - (0 if releasing is None else releasing.deliveries)

    def spend(self, name: bytes, day: str, delivery: Delivery, today: str, now_ms: int) -> bool:
        """Count a delivery of this day, in total and on it; whether no lease covers it."""
        lease, count = self._changing(name, today, now_ms), delivery.count
        if count < 0 and delivery.at_ms < lease.since_ms:
            # It was reserved before there was a budget to count it against.
            return False
        uncovered = False
        for period in (TOTAL, day):
            holding = lease.periods.setdefault(period, Holding())
            holding.spent += count
            # Without any grant the budget does not bound this period, or never had to.
            uncovered = uncovered or (count > 0 and holding.granted > 0 and holding.left < 0)
        self.low[name] = None
        self.woken.set()
        return uncovered

    def hear(self, granted: Granted, today: str, now_ms: int) -> bool:
        """Take a grant in; whether it is news."""
        name = shared_key(granted.tenant_id, granted.key)
        holding = self._changing(name, today, now_ms).periods.setdefault(granted.period, Holding())
        before = holding.granted
        if not holding.hear(granted.granted):
            return False
        self.blocks[name, granted.period] = granted.granted - before
        self.hungry.pop(name, None)
        self.low[name] = None
        self.woken.set()
        return True

    def release(self, released: Released, today: str, now_ms: int) -> Returned | None:
        """Give back what was held back for it; what to tell the owner, None for a void release."""
        account = (shared_key(released.tenant_id, released.key), released.period)
        if released.holder != self.holder or released.number <= self._released.get(account, 0):
            return None
        self._released[account] = released.number
        self.releasing.pop(account, None)
        self.low[account[0]] = None
        lease = self._changing(account[0], today, now_ms)
        holding = lease.periods.setdefault(released.period, Holding())
        holding.give_back(released.deliveries)
        return Returned(
            released.tenant_id,
            released.key,
            released.period,
            self._number,
            released.heard,
            holding.returned,
        )

    def recall(self, account: Account) -> None:
        """The owner asks for what is unspent."""
        self.recalled[account] = None
        self.woken.set()

    def _changing(self, name: bytes, today: str, now_ms: int) -> Lease:
        self._leases_changed[name] = None
        lease = self.leases.get(name)
        if lease is None:
            lease = self.leases[name] = Lease(now_ms)
        _forget_old(lease.periods, today)
        return lease

    # -- the ledger

    def answer(self, wanted: Wanted, limit: int, partitions: int, now_ms: int, today: str) -> Answer:
        """Answer a request as the key's owner."""
        name = shared_key(wanted.tenant_id, wanted.key)
        ledger = self._ledger(name, today)
        book = ledger.setdefault(wanted.period, Book())
        before = _encode(book)
        found = answer(book, wanted.partition, wanted.heard, wanted.short, limit, partitions, now_ms)
        # A request that changes nothing, of which there may be many, is not written down.
        if _encode(book) != before:
            self._ledgers_changed[name] = None
        return found

    def returned(self, notice: Returned, today: str) -> None:
        """A partition has given back; void when it was never granted anything."""
        name = shared_key(notice.tenant_id, notice.key)
        book = self.ledgers.get(name, {}).get(notice.period)
        if book is None or notice.partition not in book.shares:
            return
        self._ledger(name, today)
        returned(book, notice.partition, notice.granted, notice.returned)
        self._ledgers_changed[name] = None

    def _ledger(self, name: bytes, today: str) -> Ledger:
        ledger = self.ledgers.setdefault(name, {})
        if _forget_old(ledger, today):
            self._ledgers_changed[name] = None
        return ledger

    # -- the batch

    @property
    def dirty(self) -> bool:
        return bool(self._leases_changed or self._ledgers_changed)

    def changes(self) -> Iterator[Change]:
        for name in self._leases_changed:
            yield Kind.LEASE.value + name, pack(Kind.LEASE, _encode(self.leases[name]))
        for name in self._ledgers_changed:
            yield Kind.LEDGER.value + name, pack(Kind.LEDGER, _encode(self.ledgers[name]))

    def written(self) -> None:
        self._leases_changed.clear()
        self._ledgers_changed.clear()


_NOTHING = Holding()


def is_over(period: str, today: str) -> bool:
    """Whether a period is a day for which nothing is granted any more: one before yesterday."""
    return period != TOTAL and period < (date.fromisoformat(today) - timedelta(days=1)).isoformat()


def _forget_old(periods: dict[str, Holding] | Ledger, today: str) -> bool:
    over = [period for period in periods if is_over(period, today)] if len(periods) > 3 else []
    for period in over:
        del periods[period]
    return bool(over)
