"""One record into one partition: counted once, sent on when misplaced, kept as dead letter when bad."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.folder import Folder, RecordFailedError
from app.decision.fold import DUPLICATE, RECORDED
from app.decision.ids import routed_id
from app.decision.months import month_of
from app.decision.state import Recommendation
from config.topics import (
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    HEADER_ORIGIN,
    HEADER_PROBLEMS,
    HEADER_REASON,
    HEADER_REQUEST,
    HEADER_WRITTEN,
    MESSAGE_MAX_BYTES,
    PROFILES,
    REKEYED,
    RESPONSES,
)
from tables.overlays import Overlay
from tables.routing import partition_of
from tests.agents.records import NOW_MS, PARTITIONS, TENANT, Bench

PURCHASE = {"type": "purchase", "data": {"amount": 12.5}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_event_counts_once_however_often_it_is_delivered(bench: Bench) -> None:
    record = bench.fold(EVENTS, PURCHASE)
    bench.again(EVENTS, record)
    bench.write()
    bench.again(EVENTS, record)
    assert (bench.metric("n"), bench.metric("spend")) == (1.0, 12.5)


def test_an_event_id_counts_once_within_its_memory(bench: Bench) -> None:
    for _ in range(3):
        bench.fold(EVENTS, {**PURCHASE, "eventId": "e1"})
    bench.fold(EVENTS, {**PURCHASE, "eventId": "e2"})
    assert bench.metric("n") == 2.0


def test_after_a_thousand_other_ids_one_may_count_again(bench: Bench) -> None:
    bench.fold(EVENTS, {**PURCHASE, "eventId": "first"})
    for number in range(999):
        bench.fold(EVENTS, {**PURCHASE, "eventId": f"e{number}"})
    bench.fold(EVENTS, {**PURCHASE, "eventId": "first"})
    assert bench.metric("n") == 1_000.0
    bench.fold(EVENTS, {**PURCHASE, "eventId": "one more"})
    bench.fold(EVENTS, {**PURCHASE, "eventId": "first"})
    assert bench.metric("n") == 1_002.0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"tenantId":"shop","customerId":"C1","type":"x","data":{"a":NaN}}', "malformed"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b'{"customerId":"C1","type":"purchase"}', "invalid"),
        (b'{"tenantId":"shop","customerId":"","type":"purchase"}', "invalid"),
        (b'{"tenantId":"shop","customerId":"' + b"x" * 257 + b'","type":"purchase"}', "invalid"),
        (b'{"tenantId":"No Tenant","customerId":"C1","type":"purchase"}', "invalid"),
        (b'{"tenantId":"shop","customerId":"C1"}', "invalid"),
        (b'{"tenantId":"shop","customerId":"C1","type":7}', "invalid"),
        (b'{"tenantId":"shop","customerId":"C1","type":"a","eventType":"b"}', "invalid"),
        (
            b'{"tenantId":"shop","customerId":"C1","type":"purchase","timestamp":"2026-01-01T00:00:00"}',
            "invalid",
        ),
        (
            b'{"tenantId":"shop","customerId":"C1","type":"purchase","timestamp":"2057-01-01T00:00:00Z"}',
            "future",
        ),
    ],
)
def test_a_bad_record_becomes_a_dead_letter_and_its_neighbours_are_folded(
    bench: Bench, value: bytes, reason: str
) -> None:
    bench.fold(EVENTS, PURCHASE)
    bad = bench.fold(EVENTS, value)
    bench.fold(EVENTS, PURCHASE)
    assert bench.metric("n") == 2.0
    (letter,) = bench.derived()
    headers = dict(letter.headers)
    assert (letter.topic, letter.value, letter.key) == (DEAD_LETTERS, value, bad.key)
    assert headers[HEADER_ORIGIN] == f"events/{bad.partition}/1".encode()
    assert headers[HEADER_REASON] == reason.encode()
    assert json.loads(headers[HEADER_PROBLEMS])


def test_all_bad_fields_are_named_at_once(bench: Bench) -> None:
    bench.fold(EVENTS, b'{"tenantId":"shop","customerId":"","type":7,"data":[]}')
    (letter,) = bench.derived()
    problems = json.loads(dict(letter.headers)[HEADER_PROBLEMS])
    assert {problem["field"] for problem in problems} == {"customerId", "type", "data"}


def test_a_misplaced_record_goes_on_with_its_coordinates(bench: Bench) -> None:
    stranger = next(
        f"X{i}"
        for i in range(99)
        if partition_of(f"{TENANT}:X{i}".encode(), PARTITIONS) != bench.partition.number
    )
    key = f"{TENANT}:{stranger}".encode()
    record = bench.fold(EVENTS, {"customerId": stranger, **PURCHASE}, key=key)
    (sent_on,) = bench.derived()
    assert (sent_on.topic, sent_on.key, sent_on.value) == (REKEYED, key, record.value)
    assert sent_on.partition == partition_of(key, PARTITIONS)
    assert dict(sent_on.headers)[HEADER_ORIGIN] == f"events/{record.partition}/0".encode()
    assert bench.partition.customer(key) is None


@pytest.mark.parametrize("key", [None, b"", b"shop:someone-else", b"\xff"])
def test_a_record_whose_key_is_not_its_bodys_customer_goes_on(bench: Bench, key: bytes | None) -> None:
    bench.fold(EVENTS, PURCHASE, key=key)
    (sent_on,) = bench.derived()
    assert (sent_on.topic, sent_on.key) == (REKEYED, bench.key)


def test_a_rekeyed_record_sent_twice_counts_once(bench: Bench) -> None:
    body = bench.record(EVENTS, PURCHASE).value or b""
    origin = (HEADER_ORIGIN, b"events/3/41")
    bench.fold(REKEYED, body, headers=(origin,))
    bench.fold(REKEYED, body, headers=(origin,))
    bench.fold(REKEYED, body, headers=((HEADER_ORIGIN, b"events/3/42"),))
    bench.fold(REKEYED, body, headers=((HEADER_ORIGIN, b"events/2/7"),))
    assert bench.metric("n") == 3.0


@pytest.mark.parametrize(
    "headers",
    [(), ((HEADER_ORIGIN, b"x"),), ((HEADER_ORIGIN, b"nope/1/2"),), ((HEADER_ORIGIN, b"events/a/b"),)],
)
def test_a_forged_rekeyed_record_becomes_a_dead_letter(bench: Bench, headers: Any) -> None:
    bench.fold(REKEYED, bench.record(EVENTS, PURCHASE).value or b"", headers=headers)
    assert bench.metric("n") == 0.0
    assert [letter.topic for letter in bench.derived()] == [DEAD_LETTERS]


def _decision(bench: Bench, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "recommendationId": routed_id("rec", bench.partition.number, NOW_MS, f"{number:08x}"),
        "decisionFlowId": "f",
        "atMs": NOW_MS,
        "catalogueVersion": 7,
        "origin": "me",
        "sequence": number,
        "shown": [[1, "o1", "c2", "push", "cat", None], [2, "o1", "c1", "web", "cat", None]],
        "contactRanks": [1],
        **fields,
    }


def test_a_decision_counts_its_implicit_contacts_and_takes_its_overlay_down(bench: Bench) -> None:
    body = _decision(bench, bench.partition.overlays.next_sequence())
    bench.partition.overlays.add(Overlay(1, bench.key, Recommendation("r", 1, "f", ()), ()))
    bench.fold(DECISIONS, body)
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert [contact.channel_id for contact in customer.contacts] == ["push"]
    assert customer.known_since_ms == 0, "being shown something makes nobody known"
    assert len(bench.partition.overlays) == 0


def test_a_decision_with_something_shown_counts_once_into_its_month(bench: Bench) -> None:
    month, counters = month_of(NOW_MS), bench.partition.counters
    record = bench.fold(DECISIONS, _decision(bench, 1))
    bench.fold(DECISIONS, _decision(bench, 2, shown=[], contactRanks=[]))
    assert counters.decided(TENANT, month) == 1
    bench.write()
    bench.again(DECISIONS, record)
    bench.fold(DECISIONS, _decision(bench, 3))
    assert (counters.decided(TENANT, month), counters.decided(TENANT, month + 1)) == (2, 0)
    bench.write()
    # Recovered, from the store alone.
    bench.partition.attach(bench.store)
    assert counters.decided(TENANT, month) == 2
    bench.fold(DECISIONS, _decision(bench, 4))
    assert counters.decided(TENANT, month) == 3
    assert counters.decided("other", month) == 0


def test_a_trace_is_kept_and_found_by_its_id(bench: Bench) -> None:
    trace_id = routed_id("trc", bench.partition.number, NOW_MS, "ab" * 6)
    bench.fold(DECISIONS, _decision(bench, 1, traceId=trace_id, trace={"stages": []}))
    assert bench.partition.traces.get(NOW_MS, trace_id) == b'{"stages": []}'
    bench.write()
    assert bench.partition.traces.get(NOW_MS, trace_id) == b'{"stages": []}'
    assert list(bench.partition.traces.expired(NOW_MS + 1, 10)) != []
    assert list(bench.partition.traces.expired(NOW_MS, 10)) == []


def test_a_response_before_its_decision_waits_for_it(bench: Bench) -> None:
    decision = _decision(bench, 1)
    response = {
        "recommendationId": decision["recommendationId"],
        "rank": 2,
        "outcome": "click",
        "idempotencyKey": "k",
    }
    bench.fold(RESPONSES, response)
    assert bench.metric("clicks") == 0.0
    bench.write()
    bench.fold(DECISIONS, decision)
    assert bench.metric("clicks") == 1.0
    bench.fold(RESPONSES, response)
    assert bench.metric("clicks") == 1.0
    assert bench.derived() == []


def test_a_response_whose_decision_never_comes_is_given_up_after_ten_minutes(bench: Bench) -> None:
    gone = routed_id("rec", bench.partition.number, NOW_MS, "deadbeef")
    bench.fold(RESPONSES, {"recommendationId": gone, "rank": 1, "outcome": "click", "idempotencyKey": "k"})
    bench.clock = msgspec.structs.replace(bench.clock, now_ms=NOW_MS + 10 * 60_000)
    bench.fold(DECISIONS, _decision(bench, 1))
    (letter,) = bench.derived()
    assert dict(letter.headers)[HEADER_REASON] == b"unresolved"
    assert dict(letter.headers)[HEADER_ORIGIN].startswith(b"responses/")


@pytest.mark.parametrize(
    "body",
    [
        {"outcome": "click", "idempotencyKey": "k", "creativeId": "nope"},
        {"outcome": "click", "idempotencyKey": "k", "offerId": "nope"},
        {"outcome": "nope", "idempotencyKey": "k", "creativeId": "c1"},
        {"outcome": "click", "idempotencyKey": "k", "creativeId": "c1", "channelId": "push"},
        {"outcome": "click", "idempotencyKey": "k", "recommendationId": "not ours", "rank": 1},
    ],
)
def test_a_response_about_nothing_known_becomes_a_dead_letter(bench: Bench, body: dict[str, Any]) -> None:
    bench.fold(RESPONSES, body)
    (letter,) = bench.derived()
    assert dict(letter.headers)[HEADER_REASON] == b"unresolved"


def test_impressions_are_contacts_once(bench: Bench) -> None:
    seen = {"outcome": "impression", "idempotencyKey": "k", "creativeId": "c1"}
    bench.fold(RESPONSES, seen)
    bench.fold(RESPONSES, seen)
    bench.fold(RESPONSES, {**seen, "idempotencyKey": "k2"})
    bench.fold(RESPONSES, {**seen, "outcome": "click"})
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert len(customer.contacts) == 2


def test_an_impression_of_an_implicit_decision_is_no_second_contact(bench: Bench) -> None:
    decision = _decision(bench, 1)
    bench.fold(DECISIONS, decision)
    bench.fold(
        RESPONSES,
        {
            "recommendationId": decision["recommendationId"],
            "rank": 1,
            "outcome": "impression",
            "idempotencyKey": "k",
        },
    )
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert len(customer.contacts) == 1


def test_profiles_replace_or_merge(bench: Bench) -> None:
    bench.fold(PROFILES, {"attributes": {"a": 1, "b": 2}, "tags": ["x"], "replace": True})
    bench.fold(PROFILES, {"attributes": {"b": None, "c": 3}})
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert customer.profile is not None
    assert (customer.profile.attributes, customer.profile.tags) == ({"a": 1, "c": 3}, ("x",))
    bench.fold(PROFILES, {"attributes": {"z": 1}, "replace": True})
    assert customer.profile.attributes == {"z": 1}
    assert customer.profile.tags == ()


@pytest.mark.parametrize(
    ("topic", "fields"),
    [
        (DECISIONS, {"atMs": 10**30}),
        (DECISIONS, {"sequence": -1}),
        (DECISIONS, {"shown": [[10**30, "o", "c", "ch", "cat"]]}),
        (DECISIONS, {"shown": [[1, "o" * 129, "c", "ch", "cat"]]}),
        (DECISIONS, {"contactRanks": [10**30]}),
        (DECISIONS, {"reserved": [[1, 10**30]]}),
        (DECISIONS, {"reserved": [[1, NOW_MS + 31 * 86_400_000]]}),
        (DECISIONS, {"traceId": "t", "trace": "x" * 2_100_000}),
        (PROFILES, {"attributes": {"n": 10**30}}),
        (PROFILES, {"attributes": {"n": "x" * 66_000}}),
        (PROFILES, {"consent": {f"c{n}": "granted" for n in range(201)}}),
        (RESPONSES, {"target": {"offerId": "x" * 200, "creativeId": "", "channelId": "", "categoryId": ""}}),
        (EVENTS, {"type": "purchase", "data": {"blob": "x" * 3_200_000}}),
    ],
)
def test_a_record_that_would_not_fit_the_state_is_a_dead_letter_and_the_batch_is_written(
    bench: Bench, topic: str, fields: dict[str, Any]
) -> None:
    whole = {DECISIONS: _decision(bench, 1), RESPONSES: {"outcome": "click", "idempotencyKey": "k"}}
    bench.fold(topic, {**whole.get(topic, {}), **fields})
    bench.fold(EVENTS, PURCHASE)
    letters = bench.derived()
    assert [letter.topic for letter in letters] == [DEAD_LETTERS]
    assert bench.metric("n") == 1.0


def test_a_profile_stays_within_its_bounds_however_it_is_merged(bench: Bench) -> None:
    for number in range(3):
        bench.fold(PROFILES, {"attributes": {f"a{number}": "x" * 30_000}})
        bench.fold(PROFILES, {"consent": {f"{number}-{n}": "granted" for n in range(90)}})
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert customer.profile is not None
    assert sorted(customer.profile.attributes) == ["a0", "a1"]
    assert len(customer.profile.consent) == 180
    assert len(bench.derived()) == 2


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e308, "12", True, None, [1], {"a": 1}])
def test_any_amount_is_folded_and_written(bench: Bench, value: Any) -> None:
    for _ in range(3):
        bench.fold(EVENTS, {"type": "purchase", "data": {"amount": value}})
    bench.write()
    assert bench.metric("n") == 3.0


@pytest.mark.parametrize(
    "timestamp", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"]
)
def test_any_past_timestamp_is_folded(bench: Bench, timestamp: str) -> None:
    bench.fold(EVENTS, {**PURCHASE, "timestamp": timestamp})
    bench.write()
    assert bench.metric("n") + len(bench.derived()) == 1.0


async def test_the_request_that_wrote_a_record_is_told_its_verdict(bench: Bench) -> None:
    header = ((HEADER_REQUEST, b"r1"),)
    waiting = bench.partition.waiters.expect("r1")
    bench.fold(EVENTS, {**PURCHASE, "eventId": "e"}, headers=header)
    assert (await asyncio.wait_for(waiting, 1)).status == RECORDED
    waiting = bench.partition.waiters.expect("r1")
    bench.fold(EVENTS, {**PURCHASE, "eventId": "e"}, headers=header)
    assert (await asyncio.wait_for(waiting, 1)).status == DUPLICATE


@settings(max_examples=200)
@given(st.data())
def test_no_bytes_at_all_make_the_fold_raise(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    bench = Bench(tmp_path_factory.mktemp("any"))
    topic = data.draw(st.sampled_from([EVENTS, RESPONSES, DECISIONS, PROFILES, REKEYED]))
    json_like = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=4), inner, max_size=6)
        ),
        max_leaves=12,
    )
    value = data.draw(st.binary(max_size=60) | json_like.map(lambda body: json.dumps(body).encode()))
    body = data.draw(st.dictionaries(st.sampled_from(_FIELDS), json_like, max_size=6))
    whole = json.dumps({**body, "tenantId": TENANT, "customerId": "C1"}).encode()
    headers = data.draw(
        st.sampled_from([(), ((HEADER_ORIGIN, b"events/1/2"),), ((HEADER_ORIGIN, b"responses/1/2"),)])
    )
    for bytes_ in (value, whole):
        bench.fold(topic, bytes_, headers=headers)
    bench.fold(EVENTS, PURCHASE)
    bench.write()
    assert bench.metric("n") >= 1.0


_FIELDS = [
    "tenantId", "customerId", "type", "eventType", "data", "timestamp", "eventId", "outcome",
    "interactionType",
    "outcomeType", "creativeId", "offerId", "recommendationId", "rank", "traceId", "idempotencyKey", "target",
    "conversionValue", "attributes", "tags", "consent", "replace", "shown", "contactRanks", "sequence",
    "atMs", "reserved",
]  # fmt: skip


def test_the_same_log_folded_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    def run(folder: Path) -> list[tuple[bytes, bytes]]:
        bench = Bench(folder)
        for number in range(50):
            bench.fold(EVENTS, {**PURCHASE, "eventId": f"e{number % 40}"})
            bench.fold(PROFILES, {"attributes": {"n": number}})
            bench.fold(
                RESPONSES, {"outcome": "impression", "idempotencyKey": f"k{number}", "creativeId": "c1"}
            )
            if number % 7 == 0:
                bench.fold(DECISIONS, _decision(bench, number + 1))
                bench.write()
        bench.write()
        return list(bench.store.scan(b""))

    assert run(tmp_path / "a") == run(tmp_path / "b")


@pytest.mark.parametrize(
    "origin",
    [
        b"rekeyed/0/5",
        b"catalog/0/5",
        b"events/4/5",
        b"events/-1/5",
        b"events/0/9223372036854775808",
        b"events/0/9223372036854775807",
        b"events/1_0/5",
        b"events/ 1/5",
        b"events/\xff/5",
        b"events/0",
        b"",
        b"events/0/" + b"9" * 5_000,
    ],
)
def test_a_forged_origin_is_a_dead_letter_and_its_neighbours_count(bench: Bench, origin: bytes) -> None:
    bench.fold(REKEYED, PURCHASE, headers=((HEADER_ORIGIN, origin),))
    bench.fold(EVENTS, PURCHASE)
    (dead,) = bench.derived()
    assert (dead.topic, dict(dead.headers)[HEADER_REASON]) == (DEAD_LETTERS, b"invalid")
    assert bench.metric("n") == 1.0


def test_a_record_with_very_many_bad_fields_tells_some_of_them(bench: Bench) -> None:
    consent = {f"purpose-{number:06}{'x' * 90}": "maybe" for number in range(20_000)}
    bench.fold(PROFILES, {"consent": consent})
    (dead,) = bench.derived()
    problems = json.loads(dict(dead.headers)[HEADER_PROBLEMS])
    assert len(problems) == 50
    assert problems[-1]["message"] == "and 19952 more problems"


def test_a_long_text_quoted_in_a_problem_is_cut(bench: Bench) -> None:
    bench.fold(PROFILES, {"consent": {"x": "y"}, "attributes": {"a" * 900_000: 2**70}})
    (dead,) = bench.derived()
    assert len(dict(dead.headers)[HEADER_PROBLEMS]) < 20_000


def decision(**fields: Any) -> dict[str, Any]:
    return {
        "recommendationId": "rec_1_1_aaaaaaaa",
        "decisionFlowId": "main",
        "atMs": NOW_MS,
        "catalogueVersion": 1,
        "origin": "other",
        "sequence": 1,
        "shown": [],
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceId": "t" * 1_000_000}, b"invalid"),
        ({"atMs": 2**53}, b"future"),
        ({"atMs": NOW_MS + 86_400_001}, b"future"),
        ({"shown": [[rank, *["é" * 128] * 5] for rank in range(1, 1_601)]}, b"invalid"),
    ],
)
def test_a_decision_that_state_cannot_keep_is_a_dead_letter(
    bench: Bench, fields: dict[str, Any], reason: bytes
) -> None:
    whole = {"tenantId": TENANT, "customerId": "C1", **decision(**fields)}
    bench.fold(DECISIONS, msgspec.json.encode(whole))
    (dead,) = bench.derived()
    assert dict(dead.headers)[HEADER_REASON] == reason
    customer = bench.partition.customer(bench.key)
    assert customer is None or not customer.recommendations.entries


def test_the_largest_decisions_of_our_own_are_kept(bench: Bench) -> None:
    shown = [[rank, *["x" * 128] * 5] for rank in range(1, 2_501)]
    for _ in range(4):
        bench.fold(DECISIONS, decision(shown=shown))
    batch = bench.partition.seal(NOW_MS, 1)
    assert max(len(value or b"") for _, value in batch.changes) < MESSAGE_MAX_BYTES - 256 * 1024
    assert not bench.derived()


def test_a_request_header_without_a_value_goes_on_without_it(bench: Bench) -> None:
    bench.fold(EVENTS, {**PURCHASE, "customerId": _elsewhere(bench)}, headers=((HEADER_REQUEST, None),))
    (derived,) = bench.derived()
    assert dict(derived.headers).keys() == {HEADER_ORIGIN, HEADER_WRITTEN}
    bench.partition.attach(bench.store)
    assert [one for _, one in bench.partition.outbox.waiting()] == [derived]


def _elsewhere(bench: Bench) -> str:
    return next(
        f"X{number}"
        for number in range(100)
        if partition_of(f"{TENANT}:X{number}".encode(), PARTITIONS) != bench.partition.number
    )


def test_a_parked_response_expires_with_whatever_comes_next(bench: Bench) -> None:
    unknown = f"rec_{bench.partition.number:x}_{NOW_MS:x}_aaaaaaaaaaaa"
    bench.fold(
        RESPONSES,
        {"outcome": "click", "recommendationId": unknown, "rank": 1, "idempotencyKey": "k1"},
    )
    assert not bench.derived()
    bench.clock = msgspec.structs.replace(bench.clock, now_ms=NOW_MS + 10 * 60_000)
    bench.fold(EVENTS, PURCHASE)
    (dead,) = bench.derived()
    assert dict(dead.headers)[HEADER_REASON] == b"unresolved"
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert customer.parked == []


def test_a_record_on_which_the_program_fails_names_itself_and_is_given_up_as_poison(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("agents.folder.fold_event", broken)
    record = bench.record(EVENTS, PURCHASE)
    with pytest.raises(RecordFailedError, match=rf"events/{record.partition}/0 failed: ZeroDivisionError"):
        bench.again(EVENTS, record)
    bench.partition.attach(bench.store)
    bench.folder = Folder(bench.partition, PARTITIONS, "me", bench.metrics, {(0, record.offset)})
    bench.again(EVENTS, record)
    (dead,) = bench.derived()
    assert dict(dead.headers)[HEADER_REASON] == b"internal"
    assert dead.value == record.value


def test_what_respond_resolved_holds_under_whatever_catalogue_it_is_folded(bench: Bench) -> None:
    target = {
        "offerId": "o1",
        "creativeId": "c1",
        "channelId": "web",
        "categoryId": "cat",
        "outcome": "seen_twice",
        "contact": True,
    }
    record = bench.record(RESPONSES, {"outcome": "seen_twice", "idempotencyKey": "k", "target": target})
    bench.again(RESPONSES, record)
    customer = bench.partition.customer(bench.key)
    assert customer is not None
    assert [contact.creative_id for contact in customer.contacts.entries] == ["c1"]
    assert not bench.derived()


def test_a_response_without_a_resolved_outcome_needs_one_the_catalogue_knows(bench: Bench) -> None:
    bench.fold(RESPONSES, {"outcome": "seen_twice", "idempotencyKey": "k", "offerId": "o1"})
    (dead,) = bench.derived()
    assert dict(dead.headers)[HEADER_REASON] == b"unresolved"


def test_a_customer_changed_by_the_batch_outlives_any_eviction(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cache_customers=1)
    keys = [f"{TENANT}:N{n}".encode() for n in range(100)]
    stored = [key for key in keys if partition_of(key, PARTITIONS) == bench.partition.number]
    for key in stored:
        bench.fold(EVENTS, {**PURCHASE, "customerId": key.decode().removeprefix(f"{TENANT}:")}, key=key)
    bench.write()
    for _ in range(3):
        bench.fold(EVENTS, PURCHASE)
        for key in stored:
            # Each is read from the store and pushes another one out of the cache.
            assert bench.partition.customer(key) is not None
    bench.write()
    assert bench.metric("n") == 3.0
