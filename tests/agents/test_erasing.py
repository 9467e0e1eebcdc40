"""An erased customer is gone from the store, does not come back with old records, and may begin anew."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.decision.fold import ERASED
from app.decision.months import month_of
from app.decision.state import Recommendation
from config.topics import (
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    HEADER_ORIGIN,
    HEADER_REQUEST,
    HEADER_WRITTEN,
    PROFILES,
    REKEYED,
    RESPONSES,
)
from tables.erased import ERASURE_KEPT_MS
from tables.overlays import Overlay
from tables.routing import partition_of
from tests.agents.erasing import (
    CUSTOMER,
    ERASED_MS,
    bench_in,
    decision,
    erase,
    fill,
    kinds,
    named_in,
    stored,
    trace_id,
    unseen,
)
from tests.agents.records import NOW_MS, PARTITIONS, Bench

PURCHASE = {"type": "purchase", "data": {"amount": 1.0}}
LATER_MS = ERASED_MS + 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return bench_in(tmp_path)


def known(bench: Bench) -> bool:
    customer = bench.partition.customer(bench.key)
    return customer is not None and customer.known_since_ms != 0


@pytest.mark.parametrize("written_first", [True, False])
def test_nothing_in_the_store_names_an_erased_customer(bench: Bench, written_first: bool) -> None:
    fill(bench)
    if written_first:
        bench.write()
        assert kinds(stored(bench)) >= {b"B", b"P", b"C", b"R", b"S", b"E", b"T", b"I"}
        traces = [key for key in named_in(stored(bench)) if key[:1] == b"T"]
        assert len(traces) == 70, "more than the recommendations that are kept"
    erase(bench)
    bench.write()
    assert named_in(stored(bench)) == []
    assert kinds(stored(bench)) == {b"A", b"X", b"Y"}, "what is left are totals and the marker"
    assert not known(bench)
    assert bench.partition.traces.get(NOW_MS, trace_id(bench, 0)) is None


def test_others_keep_all_they_have(bench: Bench) -> None:
    other = next(
        f"{CUSTOMER}{n}"
        for n in range(1_000)
        if partition_of(f"shop:{CUSTOMER}{n}".encode(), PARTITIONS) == bench.partition.number
    )
    names = {"customerId": other}
    key = f"shop:{other}".encode()
    trace = {"tenantId": "shop", "trace": {"customerId": "other"}}
    for number in range(9):
        bench.fold(DECISIONS, {**decision(bench, 100 + number, trace=trace), **names}, key=key)
        bench.fold(EVENTS, {**PURCHASE, **names}, key=key)
    bench.write()
    before = {at: value for at, value in stored(bench).items() if at[:1] in b"BPCRSHETI"}
    fill(bench)
    erase(bench)
    bench.write()
    after = {at: value for at, value in stored(bench).items() if at[:1] in b"BPCRSHETI"}
    assert after == before


def test_records_of_before_do_not_bring_the_customer_back(bench: Bench) -> None:
    fill(bench, 3)
    erase(bench)
    bench.write()
    late: list[tuple[str, dict[str, Any]]] = [
        (PROFILES, {"attributes": {"mail": CUSTOMER}}),
        (EVENTS, PURCHASE),
        (DECISIONS, decision(bench, 5)),
        (RESPONSES, {"outcome": "click", "creativeId": "c1", "idempotencyKey": "k2"}),
        (RESPONSES, unseen(bench, "k3")),
        (RESPONSES, {"outcome": "unheard", "creativeId": "c1", "idempotencyKey": "k4"}),
    ]
    for topic, body in late:
        bench.fold(topic, body, timestamp=ERASED_MS)
    # Written later, but told of the past.
    bench.fold(EVENTS, {**PURCHASE, "timestamp": "2027-01-15T08:00:00Z"}, timestamp=LATER_MS)
    # Decided by a clock that is ahead, on the state of before.
    bench.fold(DECISIONS, decision(bench, 6, atMs=LATER_MS), timestamp=LATER_MS)
    bench.write()
    assert not known(bench)
    assert named_in(stored(bench)) == []
    assert bench.derived() == [], "no dead letter either"


def test_late_records_still_count_for_what_names_nobody(bench: Bench) -> None:
    def shown() -> float:
        own = bench.partition.counters.own.get(b"shop:offer/o1")
        return 0 if own is None else sum(own)

    fill(bench, 3)
    erase(bench)
    before = shown()
    bench.fold(DECISIONS, decision(bench, 5), timestamp=ERASED_MS)
    assert shown() > before


@pytest.mark.parametrize("shown", [True, False])
def test_a_late_decision_counts_into_its_month(bench: Bench, shown: bool) -> None:
    month = month_of(NOW_MS)
    erase(bench)
    before = bench.partition.counters.decided("shop", month)
    late = decision(bench, 5) if shown else decision(bench, 5, shown=[])
    bench.fold(DECISIONS, late, timestamp=ERASED_MS)
    assert bench.partition.counters.decided("shop", month) == before + shown


def test_what_was_folded_is_not_folded_again_after_an_erasure(bench: Bench) -> None:
    record = bench.fold(EVENTS, PURCHASE, timestamp=LATER_MS)
    erase(bench)
    bench.write()
    bench.again(EVENTS, record)
    assert not known(bench), "its offset is below the watermark that the marker keeps"


def test_a_new_event_begins_a_new_customer(bench: Bench) -> None:
    fill(bench, 3)
    erase(bench)
    bench.write()
    bench.fold(EVENTS, PURCHASE, timestamp=LATER_MS)
    bench.write()
    assert known(bench)
    assert bench.metric("n") == 1.0
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert (customer.profile, len(customer.contacts), len(customer.recommendations)) == (None, 0, 0)
    # And still nothing of before counts.
    bench.partition.attach(bench.store)
    bench.fold(EVENTS, PURCHASE, timestamp=ERASED_MS)
    bench.fold(DECISIONS, decision(bench, 9))
    bench.write()
    assert bench.metric("n") == 1.0
    again = bench.partition.customer(bench.key)
    assert again is not None
    assert len(again.recommendations) == 0


def test_a_decision_on_the_new_state_counts(bench: Bench) -> None:
    fill(bench, 3)
    erase(bench)
    bench.fold(DECISIONS, decision(bench, 9, erasureMs=ERASED_MS))
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert [one.channel_id for one in customer.contacts] == ["push"]


def test_new_and_erased_in_one_batch_come_out_as_in_several(tmp_path: Path) -> None:
    contents = []
    for number, cuts in enumerate(({1}, {1, 2, 3, 4}, {2, 3}, set())):
        bench = bench_in(tmp_path / str(number))
        fill(bench, 20, every=7)
        if 1 in cuts:
            bench.write()
        erase(bench)
        if 2 in cuts:
            bench.write()
        bench.fold(
            RESPONSES,
            unseen(bench, "p"),
            timestamp=LATER_MS,
        )
        if 3 in cuts:
            bench.write()
        bench.fold(EVENTS, PURCHASE, timestamp=LATER_MS)
        if 4 in cuts:
            bench.write()
        bench.write()
        contents.append({key: value for key, value in stored(bench).items() if key != b"Z"})
    assert all(content == contents[0] for content in contents)
    assert kinds(contents[0]) == {b"A", b"B", b"X", b"Y"}


def test_what_was_parked_since_and_went_leaves_no_head(bench: Bench) -> None:
    erase(bench)
    bench.fold(RESPONSES, unseen(bench, "p"), timestamp=LATER_MS)
    bench.write()
    assert b"B" in kinds(stored(bench))
    bench.clock = bench.clock.__class__(LATER_MS + 3_600_000, bench.clock.catalogue, bench.clock.partition)
    bench.fold(
        RESPONSES, {"outcome": "unheard", "creativeId": "c1", "idempotencyKey": "q"}, timestamp=LATER_MS
    )
    bench.write()
    assert kinds(stored(bench)) == {b"O", b"X", b"Y"}, "but the dead letters of what is refused"


def test_an_erasure_takes_decisions_under_way_down(bench: Bench) -> None:
    overlays = bench.partition.overlays
    sequence = overlays.next_sequence()
    overlays.add(Overlay(sequence, bench.key, Recommendation("r", 1, "f", ()), ()))
    other = overlays.next_sequence()
    overlays.add(Overlay(other, b"shop:other", Recommendation("r", 1, "f", ()), ()))
    erase(bench)
    assert (len(overlays), list(overlays.of(bench.key))) == (1, [])
    bench.fold(DECISIONS, decision(bench, sequence, origin="me"))
    assert len(overlays) == 1, "it is not there any more to be taken down"
    bench.fold(DECISIONS, decision(bench, other, origin="me"))
    assert len(overlays) == 0


async def test_who_asked_hears_of_it_when_it_is_durable(bench: Bench) -> None:
    waiting = bench.partition.waiters.expect("token")
    bench.fold(PROFILES, {"erase": True}, timestamp=ERASED_MS, headers=((HEADER_REQUEST, b"token"),))
    await asyncio.sleep(0)
    assert not waiting.done()
    bench.write()
    verdict = await waiting
    assert verdict.status == ERASED
    fact = bench.partition.erasing.fact(verdict.interaction_id)
    assert fact is not None
    assert (fact.tenant_id, fact.requested_ms) == ("shop", NOW_MS), "never later than the fold"


def test_a_misplaced_record_of_before_is_told_by_when_it_was_first_written(bench: Bench) -> None:
    erase(bench)
    headers = ((HEADER_ORIGIN, b"events/3/7"), (HEADER_WRITTEN, str(ERASED_MS).encode()))
    bench.fold(REKEYED, PURCHASE, timestamp=LATER_MS + 9, headers=headers)
    assert not known(bench)
    headers = ((HEADER_ORIGIN, b"events/3/8"), (HEADER_WRITTEN, str(LATER_MS).encode()))
    bench.fold(REKEYED, PURCHASE, timestamp=LATER_MS + 9, headers=headers)
    assert known(bench)


def test_erasing_again_is_another_erasure_and_never_bars_less(bench: Bench) -> None:
    first = erase(bench)
    bench.write()
    bench.fold(EVENTS, PURCHASE, timestamp=LATER_MS)
    second = erase(bench, ERASED_MS - 500)
    bench.write()
    assert first != second
    assert not known(bench), "an erasure by a slower clock acts all the same"
    facts = [bench.partition.erasing.fact(one) for one in (first, second)]
    assert [fact.requested_ms for fact in facts if fact is not None] == [ERASED_MS, ERASED_MS]


def test_an_erasure_says_nothing_else(bench: Bench) -> None:
    bench.fold(PROFILES, {"erase": True, "tags": ["vip"]})
    assert [one.topic for one in bench.derived()] == [DEAD_LETTERS]
    assert not known(bench)


def test_markers_go_when_no_record_of_before_can_be_left(bench: Bench) -> None:
    first = erase(bench)
    bench.write()
    second = erase(bench, ERASED_MS + 5_000)
    bench.write()

    def sweep(now_ms: int) -> set[bytes]:
        bench.clock = bench.clock.__class__(now_ms, bench.clock.catalogue, bench.clock.partition)
        expired = bench.partition.expired(now_ms, 1)
        batch = bench.partition.seal(now_ms, 7, expired)
        at = bench.store.offset + 1
        bench.partition.written(batch, at, at + len(batch.changes) - 1)
        return kinds(stored(bench))

    assert sweep(ERASED_MS + ERASURE_KEPT_MS) == {b"X", b"Y"}
    assert bench.partition.erasing.fact(first) is not None
    sweep(ERASED_MS + ERASURE_KEPT_MS + 1)
    assert bench.partition.erasing.fact(first) is None
    assert kinds(stored(bench)) == {b"X", b"Y"}, "the marker is the later erasure's"
    assert bench.partition.erasing.fact(second) is not None
    assert sweep(ERASED_MS + 5_001 + ERASURE_KEPT_MS) == set()


def test_two_erasures_in_one_batch_are_both_told_of(bench: Bench) -> None:
    first, second = erase(bench), erase(bench, LATER_MS)
    bench.write()
    assert bench.partition.erasing.fact(first) is not None
    assert bench.partition.erasing.fact(second) is not None
