"""Erasing a customer in one partition: all its keys go with the batch in hand.

Rules:

1.  Deletions go ahead of everything else of their batch: what is new of the same customer comes after them.
2.  A store without any erased customer is not asked for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.decision.erasing import forget
from app.decision.ids import parse_routed_id
from app.decision.state import Customer, Erasure
from tables.answers import Answers
from tables.codec import Change, keys_of
from tables.erased import ERASURE_KEPT_MS, Fact, any_erased, expired_erasures, fact_change, find_fact
from tables.layout import customer_key
from tables.overlays import Overlays
from tables.store import PartitionStore
from tables.traces import Traces


class Erasing:
    """The erased customers of one partition.

    Args:
        traces: the partition's.
        overlays: the partition's.
        answers: the partition's.
    """

    def __init__(self, traces: Traces, overlays: Overlays, answers: Answers) -> None:
        self._answers = answers
        self._traces = traces
        self._overlays = overlays
        self._store: PartitionStore | None = None
        self._changes: list[Change] = []
        #: Whether the partition has any.
        self.any = False

    def attach(self, store: PartitionStore | None) -> None:
        """Take up with the recovered store, or with none."""
        self._store = store
        self._changes.clear()
        self.any = store is not None and any_erased(store)

    def erase(self, customer: Customer, erasure: Erasure) -> None:
        """Leave nothing of a pinned customer but the erasure, with the batch in hand."""
        key = customer_key(customer.tenant_id, customer.customer_id)
        self._traces.erase(key, _named_traces(customer))
        self._overlays.forget(key)
        self._answers.forget(key)
        self._changes.extend((each, None) for each in keys_of(customer))
        # Of two erasures in one batch, the marker knows the later one only.
        self._changes.append(fact_change(customer, erasure))
        forget(customer, erasure)
        self.any = True

    def fact(self, erasure_id: str) -> Fact | None:
        """What may be told of an erasure, once it is stored; None when none has this id, or not any more."""
        return None if self._store is None else find_fact(erasure_id, self._store.get)

    def expired(self, now_ms: int, limit: int) -> list[bytes]:
        """Keys of the oldest erasures that nothing can undo any more; at most `limit` erasures."""
        if self._store is None or not self.any:
            return []
        return list(expired_erasures(self._store, now_ms - ERASURE_KEPT_MS, limit))

    def changes(self) -> Sequence[Change]:
        """What erasures of the batch in hand delete, and what may be told of them."""
        return self._changes

    def written(self) -> None:
        """The batch is stored."""
        self._changes.clear()


def _named_traces(customer: Customer) -> Iterator[tuple[int, str]]:
    for one in customer.recommendations:
        routed = parse_routed_id(one.trace_id or "")
        if routed is not None and one.trace_id is not None:
            yield routed.at_ms, one.trace_id
