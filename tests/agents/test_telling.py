"""Telling: what stands in one key's way, or in one topic's, is not in the way of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from aiokafka.errors import (
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
)

from agents import telling
from agents.telling import MODELS_EVERY_S, Teller
from app.decision.catalogue import CatalogSnapshot
from app.decision.evidence import MONTHLIES, encode_monthly
from app.decision.learning.evidence import Tally
from app.decision.months import Monthly
from app.decision.notices import Score, Totals, encode_notice
from config.metrics import new_metrics
from config.topics import EVIDENCE, SCOREBOARD
from tables.fencing import PartitionProducer
from tables.layout import FENCE_KEY
from tables.partition import Partition
from tables.publisher import Derived, Publisher, PublishError
from tables.scoreboard import Scoreboard

TALLY = msgspec.msgpack.encode([3, 1])
KEYS = [b"t%d:tenant" % number for number in range(20)]


class Kafka(Publisher):
    """Takes every record but those of `down`, whose error it raises; keeps what it took."""

    def __init__(self) -> None:
        self.took: list[tuple[str, bytes | None]] = []
        self.down: dict[bytes | None, BaseException] = {}

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Any = (),
        partition: int | None = None,
        producer: Any = None,
        timeout_s: float | None = None,
    ) -> int:
        self._take([Derived(topic, partition or 0, key, value)])
        return 0

    async def publish_in_order(self, records: Sequence[Derived], producer: Any = None) -> None:
        self._take(records)

    def _take(self, records: Sequence[Derived]) -> None:
        for record in records:
            error = self.down.get(record.key) or self.down.get(record.topic.encode())
            if isinstance(error, Exception):
                raise PublishError(repr(error), certain=False) from error
            if error is not None:
                raise error
        self.took.extend((record.topic, record.key) for record in records)

    def keys(self, topic: str) -> list[bytes | None]:
        return [key for name, key in self.took if name == topic and key != FENCE_KEY]


class Owner:
    """A partition that is told from, with its Kafka and its clock."""

    def __init__(self, epoch: int | None = None) -> None:
        metrics = new_metrics()
        self.now_s = 100.0
        self.kafka = Kafka()
        self.partition = Partition(0, 64, 64, metrics)
        if epoch is not None:
            self.partition.producer = _Started(["nowhere:1"], "shop-0", 1_000)
            self.partition.producer.epoch = epoch
        self.teller = Teller(self.partition, 8, self.kafka, metrics, lambda: 1_000, lambda: self.now_s)

    def sums(self, *heard: Totals) -> None:
        for totals in heard:
            self.partition.counters.hear(totals)
        self.partition.counters.written(1)

    @property
    def untold(self) -> set[bytes]:
        return {*self.partition.counters.sums_untold, *self.partition.counters.own_untold}

    @property
    def doubted(self) -> bool:
        self.partition.heard_ms = 2_000
        return self.partition.doubt is not None


class _Started(PartitionProducer):
    @property
    def kafka(self) -> Any:
        return None


@pytest.fixture
def catalogue() -> CatalogSnapshot:
    return CatalogSnapshot(1, {})


def tenant(number: int, totals: bytes = TALLY) -> Totals:
    return Totals(f"t{number}", "tenant", 1, 1, totals)


def sums_of(owner: Owner) -> None:
    owner.sums(*(tenant(number) for number in range(20)))


def own_of(owner: Owner) -> None:
    counters = owner.partition.counters
    counters.own.update(dict.fromkeys(KEYS, TALLY))
    counters.own_untold.update(dict.fromkeys(KEYS, (1, (TALLY,))))


async def test_totals_that_are_none_silence_only_their_key(catalogue: CatalogSnapshot) -> None:
    owner = Owner()
    owner.sums(*(tenant(number) for number in range(20)), Totals("evil", "tenant", 1, 1, b"\xff"))
    await owner.teller.tell_everybody(catalogue)
    assert owner.kafka.keys(SCOREBOARD) == KEYS
    assert owner.untold == set()


async def test_a_score_that_is_too_large_silences_only_its_key(
    catalogue: CatalogSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Owner()
    sums_of(owner)
    monkeypatch.setattr(telling, "RECORD_BYTES", 10)
    owner.sums(Totals("t3", "tenant", 2, 1, msgspec.msgpack.encode([2**60, 2**60])))
    await owner.teller.tell_everybody(catalogue)
    assert owner.kafka.keys(SCOREBOARD) == [key for key in KEYS if key != b"t3:tenant"]


@pytest.mark.parametrize(
    ("error", "doubted"),
    [
        (MessageSizeTooLargeError(), False),
        (NotEnoughReplicasError(), False),
        (TimeoutError(), False),
        (ProducerFenced(), True),
        (OutOfOrderSequenceNumber(), True),
    ],
    ids=repr,
)
async def test_only_a_producer_that_was_cut_off_puts_the_partition_in_doubt(
    error: Exception, doubted: bool, catalogue: CatalogSnapshot
) -> None:
    owner = Owner()
    sums_of(owner)
    owner.kafka.down[SCOREBOARD.encode()] = error
    with pytest.raises(PublishError):
        await owner.teller.tell_everybody(catalogue)
    assert owner.untold == set(KEYS)
    assert owner.doubted is doubted

    owner.kafka.down.clear()
    await owner.teller.tell_everybody(catalogue)
    assert owner.kafka.keys(SCOREBOARD) == KEYS


@pytest.mark.parametrize(("untold", "topic"), [(own_of, EVIDENCE), (sums_of, SCOREBOARD)])
async def test_whatever_is_raised_what_was_not_told_is_told_later(
    untold: Callable[[Owner], None], topic: str, catalogue: CatalogSnapshot
) -> None:
    owner = Owner()
    untold(owner)
    owner.kafka.down[topic.encode()] = asyncio.CancelledError()
    for tell in (owner.teller.tell_owners(), owner.teller.tell_everybody(catalogue)):
        await asyncio.gather(tell, return_exceptions=True)
    assert owner.untold == set(KEYS)


async def test_one_owner_that_is_away_keeps_no_totals_from_the_others() -> None:
    owner = Owner()
    own_of(owner)
    owner.kafka.down[KEYS[7]] = TimeoutError()
    with pytest.raises(PublishError):
        await owner.teller.tell_owners()
    assert owner.kafka.keys(EVIDENCE) == [key for key in KEYS if key != KEYS[7]]
    assert owner.untold == {KEYS[7]}


async def test_the_fence_goes_ahead_of_the_first_score_until_it_was_taken(catalogue: CatalogSnapshot) -> None:
    owner = Owner(epoch=4)
    await owner.teller.tell_everybody(catalogue)
    assert owner.kafka.took == []  # no score, no fence

    owner.sums(tenant(0))
    owner.kafka.down[SCOREBOARD.encode()] = TimeoutError()
    with pytest.raises(PublishError):
        await owner.teller.tell_everybody(catalogue)
    owner.kafka.down.clear()
    await owner.teller.tell_everybody(catalogue)
    owner.sums(tenant(1))
    await owner.teller.tell_everybody(catalogue)
    assert [key for _, key in owner.kafka.took] == [FENCE_KEY, KEYS[0], KEYS[1]]


async def test_what_models_learnt_is_told_more_seldom() -> None:
    owner = Owner()
    counters, told = owner.partition.counters, owner.kafka.took
    turns = []
    for now_s in (100.0, 100.2, 100.0 + MODELS_EVERY_S):
        owner.now_s = now_s
        counters.own_untold.update({b"t0:tenant": (1, (TALLY,)), b"t0:model/m@1": (1, (b"x",))})
        await owner.teller.tell_owners()
        turns.append([key for _, key in told])
        told.clear()
    both = [b"t0:tenant", b"t0:model/m@1"]
    assert turns == [both, [b"t0:tenant"], both[::-1]]


async def test_the_months_decisions_are_told_only_of_tenants_with_a_quota() -> None:
    owner = Owner()
    counters = owner.partition.counters

    def decide(*tenants: str) -> None:
        for each in tenants:
            counters.count_decision(each, 1_800_000_000_000)
        list(counters.changes())
        counters.written(1)

    decide("with", "without", "later")
    # What an offer is called says nothing.
    counters.add("without", "offer/x:decisions", Tally(1))
    decide()
    for tenants in (("with",), ("with", "later"), ("with", "later")):
        counters.tell_decided(tenants)
        await owner.teller.tell_owners()
    wanted = [b"without:offer/x:decisions", b"with:decisions", b"later:decisions"]
    assert owner.kafka.keys(EVIDENCE) == wanted


async def test_the_months_decisions_of_all_partitions_are_one_score(catalogue: CatalogSnapshot) -> None:
    owner = Owner()
    owner.sums(
        Totals("shop", "decisions", 1, 1, encode_monthly(Monthly(24_322, 3, 1))),
        Totals("shop", "decisions", 2, 1, encode_monthly(Monthly(24_323, 5, 7))),
    )
    ((versioned, parts),) = [owner.partition.counters.sums_untold[b"shop:decisions"]]
    board = Scoreboard()
    assert board.apply(b"shop:decisions", encode_notice(Score(versioned, MONTHLIES.merge(parts))))
    assert [board.decided("shop", month) for month in (24_321, 24_322, 24_323)] == [0, 10, 5]
    await owner.teller.tell_everybody(catalogue)
    assert owner.kafka.keys(SCOREBOARD) == [b"shop:decisions"]
