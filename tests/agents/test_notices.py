"""The topic `evidence`: anybody may write to it, so only what a partition would write here is taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.decision.learning.evidence import Tally
from app.decision.learning.logistic import Coordinate, LogisticState
from app.decision.notices import Granted, Notice, Recalled, Returned, Totals, Wanted, encode_notice
from app.decision.validation import load_entity
from config.topics import DEAD_LETTERS, EVIDENCE, HEADER_REASON
from tables.layout import shared_key
from tables.routing import partition_of
from tests.agents.records import PARTITIONS, TENANT, Bench

encode = msgspec.msgpack.encode

ONE = encode(Tally(1, 0))
LEARNT = encode(LogisticState(3.0, {"": Coordinate(-1.5, 2.0)}))
#: Today where the bench's clock stands, and the days around it.
YESTERDAY, TODAY, TOMORROW = "2027-01-14", "2027-01-15", "2027-01-16"
MAX = 2**53


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A partition that owns the key of the offer o1, which has a budget."""
    bench = Bench(tmp_path, _customer_beside(f"{TENANT}:offer/o1"))
    offer = load_entity(
        "offers",
        {"id": "o1", "name": "Vinyl", "categoryId": "cat", "budget": {"maxTotal": 100, "maxPerDay": 50}},
    )
    assert not isinstance(offer, list), offer
    catalogue = bench.clock.catalogue.with_changes(TENANT, {("offers", "o1"): offer}, 8)
    bench.clock = msgspec.structs.replace(bench.clock, catalogue=catalogue)
    return bench


def _customer_beside(key: str) -> str:
    number = partition_of(key.encode(), PARTITIONS)
    return next(
        c for c in map(str, range(99)) if partition_of(f"{TENANT}:{c}".encode(), PARTITIONS) == number
    )


def owned(number: int, kind: str, own: bool = True) -> str:
    """A key of this kind that the partition owns, or does not."""
    keys = (f"{kind}/k{n}" for n in range(99))
    return next(k for k in keys if (partition_of(shared_key(TENANT, k), PARTITIONS) == number) is own)


def fold(bench: Bench, notice: Notice | bytes) -> list[str]:
    """Fold one; the reasons of the dead letters there are now."""
    bench.fold(EVIDENCE, notice if isinstance(notice, bytes) else encode_notice(notice))
    letters = [entry for entry in bench.derived() if entry.topic == DEAD_LETTERS]
    return [dict(letter.headers)[HEADER_REASON].decode() for letter in letters]


def kept(bench: Bench) -> tuple[Any, ...]:
    """What the partition holds across customers."""
    partition = bench.partition
    return partition.counters.sums, partition.leases.leases, partition.leases.ledgers


@pytest.mark.parametrize(
    ("kind", "totals"),
    [("offer", ONE), ("category", ONE), ("variant", ONE), ("model", LEARNT), ("model", b"")],
)
def test_totals_of_every_kind_are_taken_in(bench: Bench, kind: str, totals: bytes) -> None:
    key = owned(bench.partition.number, kind)
    assert fold(bench, Totals(TENANT, key, 1, 7, totals)) == []
    assert list(bench.partition.counters.sums) == [shared_key(TENANT, key)]


@pytest.mark.parametrize(
    ("kind", "totals"),
    [
        ("offer", b"junk"),
        ("offer", b""),
        ("offer", LEARNT),
        ("offer", encode([-1, 0])),
        ("offer", encode([0, MAX + 1])),
        ("model", b"junk"),
        ("model", encode([1.0, {"": [float("nan"), 1.0]}])),
        ("model", encode([1.0, {"": [1.0, -1.0]}])),
        ("model", encode([float("inf"), {}])),
    ],
)
def test_totals_that_are_none_of_their_key_are_dead_letters(bench: Bench, kind: str, totals: bytes) -> None:
    assert fold(bench, Totals(TENANT, owned(bench.partition.number, kind), 1, 7, totals)) == ["invalid"]
    assert kept(bench) == ({}, {}, {})


def test_a_state_that_is_too_large_to_keep_is_a_dead_letter(bench: Bench) -> None:
    state = LogisticState(3.0, {f"{n:064}": Coordinate(-1.5, 2.0) for n in range(40_000)})
    key = owned(bench.partition.number, "model")
    assert fold(bench, Totals(TENANT, key, 1, 7, encode(state))) == ["too_large"]
    assert kept(bench) == ({}, {}, {})


@pytest.mark.parametrize(
    "make",
    [
        lambda key, partition: Totals(TENANT, key, partition, 1, ONE),
        lambda key, partition: Wanted(TENANT, key, "", partition, 0, 1),
        lambda key, partition: Returned(TENANT, key, "", partition, 1, 1),
    ],
    ids=["totals", "wanted", "returned"],
)
def test_a_stranger_partition_or_another_owners_key_is_a_dead_letter(bench: Bench, make: Any) -> None:
    number = bench.partition.number
    assert fold(bench, make(owned(number, "offer"), PARTITIONS)) == ["invalid"]
    assert fold(bench, make(owned(number, "offer", own=False), 0)) == ["invalid", "invalid"]
    assert fold(bench, make(owned(number, "offer"), 0)) == ["invalid", "invalid"]


@pytest.mark.parametrize(
    "notice",
    [
        Totals("Shop!", "offer/o1", 0, 1, ONE),
        Totals("s" * 65, "offer/o1", 0, 1, ONE),
        Totals(TENANT, "k" * 500, 0, 1, ONE),
        Totals(TENANT, "offer/", 0, 1, ONE),
        Totals(TENANT, "offer/" + "o" * 512, 0, 1, ONE),
        Totals(TENANT, "tenants", 0, 1, ONE),
        Totals(TENANT, "offer/o1", 0, MAX + 1, ONE),
        Totals(TENANT, "offer/o1", 0, -1, ONE),
        Wanted(TENANT, "category/c", "", 0, 0, 1),
        Wanted(TENANT, "offer/o1", "zz1", 0, 0, 1),
        Wanted(TENANT, "offer/o1", "", 0, MAX + 1, 1),
        Granted(TENANT, "offer/o1", "", MAX + 1),
        Granted(TENANT, "offer/o1", "zz1", 1),
        Returned(TENANT, "offer/o1", "", 0, MAX + 1, 1),
    ],
)
def test_names_numbers_and_periods_out_of_bounds_are_dead_letters(bench: Bench, notice: Notice) -> None:
    assert fold(bench, notice) == ["malformed"]
    assert kept(bench) == ({}, {}, {})


@pytest.mark.parametrize(
    ("period", "counts"),
    [
        ("", True), (YESTERDAY, True), (TODAY, True), (TOMORROW, True), ("2027-01-13", False),
        ("2027-01-17", False), ("2027-13-99", False),
    ],
)  # fmt: skip
def test_a_grant_counts_for_a_day_that_is_near(bench: Bench, period: str, counts: bool) -> None:
    assert fold(bench, Granted(TENANT, "offer/o1", period, 5)) == []
    account = (shared_key(TENANT, "offer/o1"), period)
    assert bench.partition.leases.left(account) == (5 if counts else 0)
    assert bool(bench.partition.leases.leases) is counts


def test_grants_recalls_and_returns_without_a_budget_leave_nothing(bench: Bench) -> None:
    key = owned(bench.partition.number, "creative")
    for notice in (
        Granted(TENANT, key, "", 5),
        Recalled(TENANT, key, ""),
        Returned(TENANT, key, "", 1, 5, 5),
        Wanted(TENANT, key, "", 1, 0, 1),
    ):
        assert fold(bench, notice) == []
    assert (kept(bench), bench.partition.leases.recalled) == (({}, {}, {}), {})


def test_a_request_that_heard_of_more_than_was_granted_is_void(bench: Bench) -> None:
    assert fold(bench, Wanted(TENANT, "offer/o1", "", 3, MAX, 1)) == []
    assert fold(bench, Wanted(TENANT, "offer/o1", "", 1, 0, 1)) == []
    book = bench.partition.leases.ledgers[shared_key(TENANT, "offer/o1")][""]
    assert (list(book.shares), book.out) == ([1], book.shares[1].granted)
    assert book.out > 0
