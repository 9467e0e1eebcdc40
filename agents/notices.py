"""The fold of the topic `evidence`: what partitions tell this one, as owner of a key or holder of a lease.

Rules:

1.  Like every fold: state, record, the batch's time and catalogue in, state and derived records out. (A
    release also asks who holds the partition: see `tables.leases`.)
2.  Grants, recalls and returns go out through the outbox: nobody hears of them before they are durable.
3.  Nothing is granted for a budget that the catalogue does not have, nor for a day other than today and
    tomorrow. Of other days but yesterday, whose blocks may still come back, nothing is taken in at all.
4.  Anybody may write to the topic, and what is taken in is durable. So a notice is refused that no partition
    would write: from a partition that does not exist, to another one than the key's owner, or with totals
    that are none. One that is merely late or knows of more than was granted is void.
"""

from __future__ import annotations

from app.decision.budgets import TOTAL, day_of
from app.decision.deliveries import ContactMark, made_since
from app.decision.evidence import are_totals
from app.decision.fold import Clock, Verdict
from app.decision.notices import (
    AccountNotice,
    Granted,
    Notice,
    Recalled,
    Released,
    Returned,
    Totals,
    Wanted,
    encode_notice,
)
from app.decision.refusals import Problem, Refused
from app.decision.state import Customer
from config.metrics import Metrics
from config.topics import EVIDENCE
from tables.layout import shared_key
from tables.partition import Partition
from tables.publisher import Derived
from tables.routing import partition_of

_DAY_MS = 86_400_000


class Notices:
    """Folds what concerns all customers into one partition.

    Args:
        partition: owned by this worker.
        partitions: how many there are.
        metrics: counts what happened.
    """

    def __init__(self, partition: Partition, partitions: int, metrics: Metrics) -> None:
        self._partition = partition
        self._partitions = partitions
        self._metrics = metrics

    def learn(self, tenant_id: str, verdict: Verdict, clock: Clock) -> None:
        """Count what a record of one customer lets be learned, and what its experiments count."""
        learners, counters = clock.catalogue.tenant(tenant_id).learners, self._partition.counters
        for observation in verdict.evidence:
            counters.observe(tenant_id, observation, learners.get(observation.model_id or ""))
        for event in verdict.variants:
            counters.add(tenant_id, event.evidence_key, event.delta)

    def spend(self, customer: Customer, before: ContactMark, clock: Clock) -> None:
        """Count what a record made of one customer's contacts against their budgets."""
        tenant = clock.catalogue.tenant(customer.tenant_id)
        if not tenant.budgeted:
            return
        zone, leases = tenant.settings.time_zone, self._partition.leases
        for delivery in made_since(before, customer):
            for key in (f"offer/{delivery.offer_id}", f"creative/{delivery.creative_id}"):
                if key not in tenant.budgeted:
                    continue
                today, day = day_of(zone, clock.now_ms).name, day_of(zone, delivery.at_ms).name
                name = shared_key(customer.tenant_id, key)
                if leases.spend(name, day, delivery, today, clock.now_ms):
                    self._metrics.budget_overspent_total.inc()

    def fold(self, notice: Notice, clock: Clock) -> Refused | None:
        """Fold one notice; returns why it is none that a partition would have written here, if so."""
        problem = self._problem(notice)
        if problem is not None:
            return Refused("invalid", (problem,))
        if isinstance(notice, Totals):
            self._partition.counters.hear(notice)
        else:
            self._fold_account(notice, clock)
        return None

    def _fold_account(self, notice: AccountNotice, clock: Clock) -> None:
        tenant, leases = clock.catalogue.tenant(notice.tenant_id), self._partition.leases
        zone, now_ms = tenant.settings.time_zone, clock.now_ms
        today = day_of(zone, now_ms)
        ahead = (TOTAL, today.name, day_of(zone, today.ends_ms).name)
        if notice.period not in ahead and notice.period != day_of(zone, now_ms - _DAY_MS).name:
            return
        match notice:
            case Wanted():
                if notice.period in ahead:
                    self._answer(notice, clock, today.name)
            case Granted():
                if notice.key in tenant.budgets:
                    leases.hear(notice, today.name, now_ms)
            case Recalled():
                if notice.key in tenant.budgets:
                    leases.recall((shared_key(notice.tenant_id, notice.key), notice.period))
            case Released():
                returned = leases.release(notice, today.name, now_ms)
                if returned is not None:
                    self._to_owner(returned)
            case Returned():
                leases.returned(notice, today.name)

    def _problem(self, notice: Notice) -> Problem | None:
        if not isinstance(notice, Totals | Wanted | Returned):
            return None
        if notice.partition >= self._partitions:
            return Problem("partition", f"there is no partition {notice.partition}")
        if self._owner(notice) != self._partition.number:
            return Problem("key", "its owner is another partition")
        if isinstance(notice, Totals) and not are_totals(notice.key, notice.totals):
            return Problem("totals", "are none of this key")
        return None

    def _answer(self, wanted: Wanted, clock: Clock, today: str) -> None:
        tenant_id, key, period = wanted.tenant_id, wanted.key, wanted.period
        allowed = clock.catalogue.tenant(tenant_id).budgets.get(key)
        limit = None if allowed is None else allowed.limit(period)
        if limit is None:
            return
        found = self._partition.leases.answer(wanted, limit, self._partitions, clock.now_ms, today)
        if found.granted is not None:
            self._tell(wanted.partition, Granted(tenant_id, key, period, found.granted))
        for number in found.recall:
            self._tell(number, Recalled(tenant_id, key, period))

    def _to_owner(self, notice: Returned) -> None:
        self._tell(self._owner(notice), notice)

    def _owner(self, notice: Notice) -> int:
        return partition_of(shared_key(notice.tenant_id, notice.key), self._partitions)

    def _tell(self, partition: int, notice: Granted | Recalled | Returned) -> None:
        key = shared_key(notice.tenant_id, notice.key)
        self._partition.outbox.add(Derived(EVIDENCE, partition, key, encode_notice(notice)))
