"""Telling others what this partition counted: its totals to their keys' owners, its sums to everybody.

Rules:

1.  Only what is durable is told, with the batch that wrote it as version; newest totals replace those that
    were not told yet, so that each key is told once in a while, however often it changes. What models have
    learnt is large, and told more seldom.
2.  Totals may go out twice, late, or from an owner that was cut off: their reader ignores lower versions.
    Scores end on a compacted topic, which keeps the last record whatever its version. So they are written by
    the partition's own producer, whose first record there is its fence: nothing of an earlier owner lands
    behind it.
3.  What Kafka did not take is told with a later call, unless something newer is to be told by then. Only a
    producer that can write no more until the partition is taken anew puts the partition in doubt.
4.  A key whose totals cannot be told is left out, with an error in the log, once; the others are told.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable

import structlog

from app.decision.catalogue import CatalogSnapshot
from app.decision.evidence import DECISIONS, MODEL, MONTHLIES, TALLIES, Mergeable
from app.decision.notices import Score, Totals, encode_notice
from config.metrics import Metrics
from config.topics import EVIDENCE, MESSAGE_MAX_BYTES, SCOREBOARD
from tables.counters import Telling
from tables.fencing import cut_off
from tables.layout import FENCE_KEY, split_customer_key
from tables.partition import Partition
from tables.publisher import Derived, Publisher, PublishError
from tables.routing import partition_of

#: Keys told at once.
PART = 500

#: What models have learnt is told at most this often, in seconds.
MODELS_EVERY_S = 5.0

#: A record of more bytes than this is not told: Kafka would refuse it, and whatever goes with it.
RECORD_BYTES = MESSAGE_MAX_BYTES - 128 * 1024

log = structlog.get_logger(__name__)


class Teller:
    """One partition's totals and scores on their way out, for one taking.

    Args:
        partition: held by this worker, its counters loaded and its producer started.
        partitions: how many there are.
        publisher: this worker's.
        clock_ms: wall clock, epoch milliseconds.
        monotonic_s: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        partition: Partition,
        partitions: int,
        publisher: Publisher,
        metrics: Metrics,
        clock_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock_ms = clock_ms
        self._partition = partition
        self._partitions = partitions
        self._publisher = publisher
        self._metrics = metrics
        self._own = _Part(partition.counters.own_untold, monotonic_s)
        self._sums = _Part(partition.counters.sums_untold, monotonic_s)
        self._fenced = False
        self._untellable: set[bytes] = set()

    async def tell_owners(self) -> None:
        """Tell the keys' owners which totals changed since the last call.

        Raises:
            PublishError: Kafka did not take all of them.
        """
        self._own.begin()
        while part := self._own.take():
            try:
                await self._publish_totals(part)
            except BaseException:
                self._own.put_back(part)
                raise

    async def tell_everybody(self, catalogue: CatalogSnapshot) -> None:
        """Tell everybody which sums changed since the last call.

        Raises:
            PublishError: Kafka did not take all of them.
        """
        self._sums.begin()
        while part := self._sums.take():
            try:
                await self._publish_scores(part, catalogue)
            except BaseException as error:
                self._sums.put_back(part)
                if isinstance(error, PublishError) and cut_off(error):
                    self._partition.doubt_since(self._clock_ms(), error)
                raise

    async def _publish_totals(self, part: dict[bytes, Telling]) -> None:
        """Publish each by itself: their versions order them. What was taken leaves `part`."""
        records = self._records(part, self._totals)
        sent = await asyncio.gather(
            *(
                self._publisher.publish(each.topic, each.key, each.value, (), each.partition)
                for each in records
            ),
            return_exceptions=True,
        )
        failed = {
            id(each): error
            for each, error in zip(records, sent, strict=True)
            if isinstance(error, BaseException)
        }
        for each in records:
            if id(each) not in failed and each.key is not None:
                del part[each.key]
        self._metrics.totals_published_total.inc(len(records) - len(failed))
        for error in failed.values():
            raise error

    async def _publish_scores(self, part: dict[bytes, Telling], catalogue: CatalogSnapshot) -> None:
        """Publish them in order, by the partition's producer, behind its fence."""
        records = self._records(part, lambda name, telling: _score(name, telling, catalogue))
        if not records:
            return
        producer = self._partition.producer
        fence = None if producer is None or self._fenced else producer.fence_value
        fences = [] if fence is None else [Derived(SCOREBOARD, 0, FENCE_KEY, fence)]
        kafka = None if producer is None else producer.kafka
        await self._publisher.publish_in_order([*fences, *records], kafka)
        self._fenced = True
        self._metrics.scores_published_total.inc(len(records))

    def _totals(self, name: bytes, telling: Telling) -> Derived:
        version, (totals,) = telling
        tenant_id, key = split_customer_key(name)
        notice = Totals(tenant_id, key, self._partition.number, version, totals)
        return Derived(EVIDENCE, partition_of(name, self._partitions), name, encode_notice(notice))

    def _records(
        self, part: dict[bytes, Telling], record: Callable[[bytes, Telling], Derived | None]
    ) -> list[Derived]:
        """The records of those that can be told; the others leave `part`."""
        records = []
        for name, telling in tuple(part.items()):
            try:
                made = record(name, telling)
            except Exception as error:  # noqa: BLE001 - one key's totals must not silence the others
                made = None
                self._leave_out(name, repr(error))
            if made is not None and len(made.value or b"") > RECORD_BYTES:
                self._leave_out(name, f"{len(made.value or b'')} bytes are too many")
                made = None
            if made is None:
                del part[name]
            else:
                records.append(made)
        return records

    def _leave_out(self, name: bytes, reason: str) -> None:
        if name not in self._untellable:
            self._untellable.add(name)
            log.error("totals not told", partition=self._partition.number, key=repr(name)[:200], error=reason)


class _Part:
    """What is to be told, taken part by part; models only in turns that are far enough apart."""

    def __init__(self, untold: dict[bytes, Telling], monotonic_s: Callable[[], float]) -> None:
        self._untold = untold
        self._monotonic_s = monotonic_s
        self._models_s = -MODELS_EVERY_S
        self._models = False

    def begin(self) -> None:
        now_s = self._monotonic_s()
        self._models = now_s - self._models_s >= MODELS_EVERY_S
        if self._models:
            self._models_s = now_s

    def take(self) -> dict[bytes, Telling]:
        """The next keys to tell, which are not untold any more."""
        names: Iterable[bytes] = self._untold
        if not self._models:
            names = (name for name in names if not _is_model(name))
        return {name: self._untold.pop(name) for name in tuple(itertools.islice(names, PART))}

    def put_back(self, part: dict[bytes, Telling]) -> None:
        """These were not told; what became newer since stays."""
        for name, telling in part.items():
            self._untold.setdefault(name, telling)
        if any(map(_is_model, part)):
            self._models_s = -MODELS_EVERY_S


def _is_model(name: bytes) -> bool:
    return name.partition(b":")[2].startswith(MODEL.encode())


def _score(name: bytes, telling: Telling, catalogue: CatalogSnapshot) -> Derived | None:
    """The record for everybody; None for a model that the catalogue does not have."""
    version, totals = telling
    merger = _merger(name, catalogue)
    if merger is None:
        return None
    return Derived(SCOREBOARD, 0, name, encode_notice(Score(version, merger.merge(totals))))


def _merger(name: bytes, catalogue: CatalogSnapshot) -> Mergeable | None:
    """What makes one total of several; None for a model that the catalogue does not have."""
    tenant_id, key = split_customer_key(name)
    if not key.startswith(MODEL):
        return MONTHLIES if key == DECISIONS else TALLIES
    return catalogue.tenant(tenant_id).learners.get(key.removeprefix(MODEL))
