"""Telling others what this partition counted: its totals to their keys' owners, its sums to everybody.

Rules:

1.  Only what is durable is told, with the batch that wrote it as version; newest totals replace those that
    were not told yet, so that each key is told once in a while, however often it changes.
2.  Totals may go out twice, late, or from an owner that was cut off: their reader ignores lower versions.
    Scores end on a compacted topic, which keeps the last record whatever its version. So they are written by
    the partition's own producer, which wrote its fence there first: nothing of an earlier owner lands behind
    it.
3.  What Kafka did not take is told with a later call, unless something newer is to be told by then.
"""

from __future__ import annotations

from collections.abc import Callable

from app.decision.catalogue import CatalogSnapshot
from app.decision.evidence import MODEL, TALLIES, Mergeable
from app.decision.notices import Score, Totals, encode_notice
from config.metrics import Metrics
from config.topics import EVIDENCE, SCOREBOARD
from tables.counters import Counters, Telling
from tables.layout import split_customer_key
from tables.partition import Partition
from tables.publisher import Derived, Publisher, PublishError
from tables.routing import partition_of

#: Keys told at once.
PART = 500


class Teller:
    """One partition's totals and scores on their way out, for one taking.

    Args:
        partition: held by this worker, its counters loaded and its producer started.
        partitions: how many there are.
        publisher: this worker's.
        clock_ms: wall clock, epoch milliseconds.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        publisher: Publisher,
        metrics: Metrics,
        clock_ms: Callable[[], int],
    ) -> None:
        self._clock_ms = clock_ms
        self._partition = partition
        self._partitions = partitions
        self._publisher = publisher
        self._metrics = metrics

    async def tell(self, catalogue: CatalogSnapshot) -> None:
        """Tell what changed since the last call.

        Raises:
            PublishError: Kafka did not take all of it.
        """
        counters = self._partition.counters
        await self._tell_owners(counters)
        await self._tell_everybody(counters, catalogue)

    async def _tell_owners(self, counters: Counters) -> None:
        while part := _taken(counters.own_untold):
            targets: dict[int, list[Derived]] = {}
            for name, (version, (totals,)) in part.items():
                tenant_id, key = split_customer_key(name)
                target = partition_of(name, self._partitions)
                notice = Totals(tenant_id, key, self._partition.number, version, totals)
                targets.setdefault(target, []).append(Derived(EVIDENCE, target, name, encode_notice(notice)))
            try:
                for records in targets.values():
                    await self._publisher.publish_in_order(records)
            except PublishError:
                _put_back(counters.own_untold, part)
                raise
            self._metrics.totals_published_total.inc(len(part))

    async def _tell_everybody(self, counters: Counters, catalogue: CatalogSnapshot) -> None:
        producer = self._partition.producer
        while part := _taken(counters.sums_untold):
            records = []
            for name, (version, totals) in part.items():
                merger = _merger(name, catalogue)
                if merger is not None:
                    score = encode_notice(Score(version, merger.merge(totals)))
                    records.append(Derived(SCOREBOARD, 0, name, score))
            try:
                if records:
                    await self._publisher.publish_in_order(
                        records, None if producer is None else producer.kafka
                    )
            except PublishError as error:
                _put_back(counters.sums_untold, part)
                self._partition.doubt_since(self._clock_ms(), error)
                raise
            self._metrics.scores_published_total.inc(len(records))


def _merger(name: bytes, catalogue: CatalogSnapshot) -> Mergeable | None:
    """What makes one total of several; None for a model that the catalogue does not have."""
    tenant_id, key = split_customer_key(name)
    if not key.startswith(MODEL):
        return TALLIES
    return catalogue.tenant(tenant_id).learners.get(key.removeprefix(MODEL))


def _taken(untold: dict[bytes, Telling]) -> dict[bytes, Telling]:
    """The next keys to tell, which are not untold any more."""
    part = {name: untold[name] for name, _ in zip(untold, range(PART), strict=False)}
    for name in part:
        del untold[name]
    return part


def _put_back(untold: dict[bytes, Telling], part: dict[bytes, Telling]) -> None:
    for name, telling in part.items():
        untold.setdefault(name, telling)
