"""Keeping a partition's leases topped up: what it asks of the keys' owners, and what it gives back.

Rules:

1.  Every active budget of the catalogue is asked for before the first decision needs it, and again when half
    of the last block is left. So is tomorrow's, a minute before midnight in the tenant's time zone.
2.  A request is repeated until more is granted, ever more slowly: lost ones cost nothing, see
    `app.decision.leases`. A changed catalogue, a new day and a grant begin anew.
3.  What the owner asks back is first held back from decisions, then released by a record of this partition's
    own: its fold gives it up. Until then it stays held back, and the record is sent again.
4.  Tens of thousands of budgets hold up nobody else: this work is done in slices, those of waiting customers
    first, and only what may be low or is due is looked at.
5.  A wall clock that is set back makes all remembered instants void: everything is planned anew.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

import msgspec

from app.decision.budgets import day_of
from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.notices import Released, Wanted, encode_notice
from config.metrics import Metrics
from config.topics import EVIDENCE
from tables.layout import shared_key, split_customer_key
from tables.leases import Account
from tables.partition import Partition
from tables.publisher import Publisher
from tables.routing import partition_of

#: Tomorrow's budgets are asked for so long before, in milliseconds.
EARLY_MS = 60_000

#: A request is repeated after this long, doubling up to the most: of who is short, of who tops up;
#: milliseconds.
RETRY_MS = 300
RETRY_SHORT_MS = 10_000
RETRY_LOW_MS = 60_000

#: A release that is not folded after this long is sent again, in milliseconds.
RELEASE_AGAIN_MS = 2_000

#: This work gives way to other work after this long, in seconds.
SLICE_S = 0.002

#: Requests sent at once, and keys looked at before requests are sent.
PART = 25

_NEVER_MS = 2**62


class _Asked(msgspec.Struct):
    """When an account is asked for again, and after how long then, milliseconds; whether it was short.

    `heard` is how much was granted when it was found low: a grant begins anew.
    """

    next_ms: int
    heard: int
    delay_ms: int = RETRY_MS
    short: bool = False


class Leasing:
    """One partition's requests and releases, for one taking.

    Args:
        partition: held by this worker, its leases loaded.
        partitions: how many there are.
        publisher: this worker's.
    """

    def __init__(self, partition: Partition, partitions: int, publisher: Publisher, metrics: Metrics) -> None:
        self._partition = partition
        self._partitions = partitions
        self._publisher = publisher
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._asked: dict[Account, _Asked] = {}
        #: The same by when they are due; what is not the account's `next_ms` any more is void.
        self._due: list[tuple[int, Account]] = []
        #: What the accounts below were made for: the catalogue's version, and each tenant's days.
        self._version = -1
        self._tenants: list[TenantCatalogue] = []
        self._days: dict[str, tuple[str, ...]] = {}
        self._planned_until_ms = 0
        #: The clock, when last seen.
        self._seen_ms = 0
        #: When each release was last sent.
        self._sent: dict[Account, int] = {}

    async def tend(self, catalogue: CatalogSnapshot, now_ms: int) -> None:
        """Ask for what is low, release what was asked back. To be called a few times a second.

        Raises:
            PublishError: Kafka did not take a request or release; it is tried again with a later call.
        """
        pace = _Pace()
        await self._plan(catalogue, now_ms, pace)
        leases = self._partition.leases
        for account in list(leases.recalled):
            leases.recalled.pop(account, None)
            self._hold_back(account)
            await pace.give_way()
        await self._release(now_ms, pace)
        # Not for as long as there are some: decisions add to them meanwhile.
        for _ in range(0, len(leases.low) + PART, PART):
            for name in self._next_low():
                self._look_at(catalogue, name, now_ms)
                await pace.give_way()
            while wanted := self._next_wanted(catalogue, now_ms):
                await self._tell_owners(wanted)

    async def _plan(self, catalogue: CatalogSnapshot, now_ms: int, pace: _Pace) -> None:
        """Look at all budgets when the catalogue or a day is new, or the clock was set back."""
        set_back, self._seen_ms = now_ms < self._seen_ms, now_ms
        if set_back or catalogue.version != self._version:
            self._begin_anew(catalogue)
            if set_back:
                self._sent.clear()
        elif now_ms < self._planned_until_ms:
            return
        self._planned_until_ms = _NEVER_MS
        for tenant in self._tenants:
            today = day_of(tenant.settings.time_zone, now_ms)
            early_ms = today.ends_ms - EARLY_MS
            self._planned_until_ms = min(
                self._planned_until_ms, early_ms if now_ms < early_ms else max(today.ends_ms, now_ms + 1)
            )
            later = day_of(tenant.settings.time_zone, now_ms + EARLY_MS)
            days = tuple(dict.fromkeys((today.name, later.name)))
            if self._days.get(tenant.tenant_id) != days:
                self._days[tenant.tenant_id] = days
                for key in tenant.budgets:
                    self._partition.leases.low[shared_key(tenant.tenant_id, key)] = None
                    await pace.give_way()

    def _begin_anew(self, catalogue: CatalogSnapshot) -> None:
        """Forget what was asked for, and for which days."""
        self._version = catalogue.version
        tenants = map(catalogue.tenant, catalogue.tenant_ids())
        self._tenants = [tenant for tenant in tenants if tenant.budgets]
        self._days.clear()
        self._asked.clear()
        self._due.clear()

    def _next_low(self) -> list[bytes]:
        """Some keys whose lease may be low, those that customers wait for first; each is given once."""
        leases = self._partition.leases
        part = list(itertools.islice((name for name in leases.hungry if name in leases.low), PART))
        part += itertools.islice((name for name in leases.low if name not in part), PART - len(part))
        for name in part:
            del leases.low[name]
        return part

    def _next_wanted(self, catalogue: CatalogSnapshot, now_ms: int) -> list[Wanted]:
        """Some requests that are due, none when all are made."""
        wanted: list[Wanted] = []
        while self._due and self._due[0][0] <= now_ms and len(wanted) < PART:
            due_ms, account = heapq.heappop(self._due)
            asked = self._asked.get(account)
            if asked is None or asked.next_ms != due_ms:
                continue
            one = self._wanted(catalogue, account, now_ms)
            if one is not None:
                wanted.append(one)
        return wanted

    async def _tell_owners(self, wanted: list[Wanted]) -> None:
        told = await asyncio.gather(*map(self._tell_owner, wanted), return_exceptions=True)
        for error in told:
            if error is not None:
                raise error

    def _look_at(self, catalogue: CatalogSnapshot, name: bytes, now_ms: int) -> None:
        """Ask for the accounts of a key that are low, now, unless that is under way."""
        tenant_id, key = split_customer_key(name)
        allowed = catalogue.tenant(tenant_id).budgets.get(key)
        days = self._days.get(tenant_id)
        if allowed is None or days is None:
            return
        for period in dict.fromkeys(period for day in days for period in allowed.periods(day)):
            account = (name, period)
            if not self._is_low(account):
                self._asked.pop(account, None)
            elif self._is_new(account):
                self._asked[account] = _Asked(now_ms, self._partition.leases.holding(account).granted)
                heapq.heappush(self._due, (now_ms, account))

    def _is_new(self, account: Account) -> bool:
        """Whether what is asked for already, if anything, is not what is needed now."""
        asked = self._asked.get(account)
        if asked is None or asked.heard < self._partition.leases.holding(account).granted:
            return True
        return self._short(account) > 0 and not asked.short

    def _is_low(self, account: Account) -> bool:
        block = self._partition.leases.blocks.get(account, 0)
        return self._left(account) <= (block + 1) // 2

    def _left(self, account: Account) -> int:
        return self._partition.leases.left(account) - self._partition.overlays.deliveries(account[0])

    def _short(self, account: Account) -> int:
        """How many deliveries are needed at once; 0 when customers are not kept waiting."""
        left = self._left(account)
        return max(1 - left if account[0] in self._partition.leases.hungry else -left, 0)

    def _wanted(self, catalogue: CatalogSnapshot, account: Account, now_ms: int) -> Wanted | None:
        """The request for an account that is due, None when it needs nothing any more."""
        name, period = account
        tenant_id, key = split_customer_key(name)
        allowed, days = catalogue.tenant(tenant_id).budgets.get(key), self._days.get(tenant_id, ())
        known = allowed is not None and any(period in allowed.periods(day) for day in days)
        if not known or not self._is_low(account) or account in self._partition.leases.releasing:
            # While it gives back it must not say what it needs: that would say that it holds nothing.
            del self._asked[account]
            return None
        asked, short = self._asked[account], self._short(account)
        asked.short = short > 0
        asked.next_ms = now_ms + asked.delay_ms
        heapq.heappush(self._due, (asked.next_ms, account))
        asked.delay_ms = min(asked.delay_ms * 2, RETRY_SHORT_MS if short else RETRY_LOW_MS)
        self._metrics.leases_wanted_total.inc()
        heard = self._partition.leases.holding(account).granted
        return Wanted(tenant_id, key, period, self._partition.number, heard, short)

    def _hold_back(self, account: Account) -> None:
        """Keep what is left from decisions, until the release of it is folded."""
        leases = self._partition.leases
        if account in leases.releasing:
            return
        tenant_id, key = split_customer_key(account[0])
        deliveries, number = max(self._left(account), 0), next(self._numbers)
        heard = leases.holding(account).granted
        leases.releasing[account] = Released(
            tenant_id, key, account[1], deliveries, heard, leases.holder, number
        )

    async def _release(self, now_ms: int, pace: _Pace) -> None:
        """Tell this partition's fold of what is held back, again until it has folded it: it does so once."""
        leases = self._partition.leases
        self._sent = {account: sent for account, sent in self._sent.items() if account in leases.releasing}
        for account, released in list(leases.releasing.items()):
            await pace.give_way()
            if now_ms - self._sent.get(account, 0) >= RELEASE_AGAIN_MS:
                self._sent[account] = now_ms
                self._metrics.leases_returned_total.inc(released.deliveries)
                await self._tell(self._partition.number, released)

    async def _tell_owner(self, wanted: Wanted) -> None:
        await self._tell(partition_of(shared_key(wanted.tenant_id, wanted.key), self._partitions), wanted)

    async def _tell(self, partition: int, notice: Wanted | Released) -> None:
        key = shared_key(notice.tenant_id, notice.key)
        await self._publisher.publish(EVIDENCE, key, encode_notice(notice), partition=partition)


class _Pace:
    """Lets other work run after each slice of time."""

    def __init__(self) -> None:
        self._until_s = time.perf_counter() + SLICE_S

    async def give_way(self) -> None:
        """Go on at once, or after everybody else when the slice is used up."""
        if time.perf_counter() > self._until_s:
            await asyncio.sleep(0)
            self._until_s = time.perf_counter() + SLICE_S
