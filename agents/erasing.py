"""The fold of what concerns an erased customer: the erasure, and records of before it that come after it.

Rules:

1.  An erasure deletes everything of its customer with the batch in hand. Who asked hears of it when that
    batch is durable: records written after the answer are folded after the erasure, whatever crashes.
2.  A record of before the erasure leaves nothing of its customer: no state, no trace, no dead letter. What it
    says of all customers together (contacts that spend budgets, evidence, the month's decisions) counts as if
    it had come in time.
"""

from __future__ import annotations

from agents.notices import Notices
from agents.origin import Origin
from app.decision.deliveries import mark_contacts
from app.decision.erasing import erasure_id_of, new_erasure, precedes
from app.decision.fold import ERASED, Clock, Verdict, fold_decision
from app.decision.records import DecisionMade, Event, ProfileWrite, Response
from app.decision.responses import fold_response
from app.decision.state import Customer
from config.metrics import Metrics
from tables.partition import Partition


class Eraser:
    """Folds what concerns erased customers into one partition."""

    def __init__(self, partition: Partition, notices: Notices, metrics: Metrics) -> None:
        self._partition = partition
        self._notices = notices
        self._metrics = metrics

    def fold(
        self,
        customer: Customer,
        body: Event | Response | ProfileWrite | DecisionMade,
        written_ms: int,
        origin: Origin,
        clock: Clock,
    ) -> Verdict | None:
        """What became of a record, or None when it has nothing to do with an erasure.

        Args:
            customer: pinned.
            written_ms: when the record was written, epoch ms.
        """
        if isinstance(body, ProfileWrite) and body.erase:
            return self._erase(customer, written_ms, origin, clock)
        erasure = customer.erasure
        if erasure is None or not precedes(body, written_ms, erasure):
            return None
        if isinstance(body, Response | DecisionMade):
            self._count(customer, body, written_ms, origin, clock)
        self._metrics.records_erased_total.inc()
        return Verdict(ERASED, erasure.erasure_id)

    def _erase(self, customer: Customer, written_ms: int, origin: Origin, clock: Clock) -> Verdict:
        erasure_id = erasure_id_of(clock.partition, clock.now_ms, origin.partition, origin.offset)
        self._partition.erasing.erase(customer, new_erasure(customer, erasure_id, written_ms, clock.now_ms))
        self._metrics.erasures_total.inc()
        return Verdict(ERASED, erasure_id)

    def _count(
        self,
        customer: Customer,
        body: Response | DecisionMade,
        written_ms: int,
        origin: Origin,
        clock: Clock,
    ) -> None:
        """Count a record in what is counted across customers; a customer that nobody keeps takes the rest."""
        passing = Customer(customer.tenant_id, customer.customer_id)
        before = mark_contacts(passing)
        if isinstance(body, DecisionMade):
            verdict = fold_decision(passing, body, clock)
            if body.shown and verdict.refused is None:
                self._partition.counters.count_decision(customer.tenant_id, body.at_ms)
        else:
            verdict = fold_response(passing, body, written_ms, clock, str(origin))
        if verdict.evidence or verdict.variants:
            self._notices.learn(customer.tenant_id, verdict, clock)
        self._notices.spend(passing, before, clock)
