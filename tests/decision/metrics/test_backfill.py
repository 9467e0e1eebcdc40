"""A metric that comes later: counted from the customer's recent events, and since when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import CatalogSnapshot
from app.decision.decide import CustomerView
from app.decision.decision import DecisionRequest
from app.decision.enrichment import MetricFields, enrich
from app.decision.fold import Clock, fold_event
from app.decision.metrics import complete_since, figure
from app.decision.records import Event, Response
from app.decision.responses import fold_response
from app.decision.state import (
    DAY_MS,
    RECENT_DATA_BYTES,
    RECENT_MAX,
    RECENT_SEGMENT,
    RECENT_WINDOW_MS,
    Customer,
    Window,
)
from app.decision.visibility import Visible
from tables.codec import changes_of, load_customer, new_customer, settle
from tests.decision import building
from tests.decision.building import Aggregate

NOW_MS = building.NOW_MS
AGGREGATES: tuple[Aggregate, ...] = get_args(Aggregate)


def document(aggregate: str = "count", window_ms: int | None = None, **more: Any) -> dict[str, Any]:
    """A metric `m` of purchases and outcomes, of their `v` unless it is a count."""
    field = {} if aggregate == "count" else {"field": "data.v"}
    types = ["purchase", "outcome.conversion"]
    return {
        "id": "m",
        "key": "m",
        "aggregate": aggregate,
        "eventTypes": types,
        "windowMs": window_ms,
        **field,
        **more,
    }


def clock(*metrics: dict[str, Any], now_ms: int = NOW_MS) -> Clock:
    return Clock(now_ms, CatalogSnapshot(1, {"t": building.shop(behavioral_metrics=metrics)}))


def fold(customer: Customer, when: Clock, age_ms: int, value: Any = 1, event_type: str = "purchase") -> None:
    at = datetime.fromtimestamp((when.now_ms - age_ms) / 1_000, UTC)
    event = Event(
        tenant_id="t", customer_id="c", type=event_type, data={"v": value}, timestamp=at, event_id=None
    )
    assert fold_event(customer, event, when.now_ms, when).refused is None


def now(customer: Customer, when: Clock) -> object:
    """The figure of `m`, as a reader gets it."""
    return figure(customer.metrics, when.catalogue.tenant("t").metrics["m"], when.now_ms, customer)


def since(customer: Customer, when: Clock) -> int | None:
    metric = when.catalogue.tenant("t").metrics["m"]
    return complete_since(customer.metrics, metric, when.now_ms, customer)


def someone() -> Customer:
    return new_customer(b"t:c")


EVENTS = st.lists(
    st.tuples(
        st.integers(-3_600_000, RECENT_WINDOW_MS),
        st.integers(-3, 3) | st.sampled_from(["a", "b"]) | st.floats(-9, 9),
        st.sampled_from(["purchase", "page", "outcome.convert", "outcome.conversion"]),
    ),
    max_size=RECENT_MAX - 1,
)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@settings(max_examples=60)
@given(events=EVENTS, window_ms=st.sampled_from([None, 60_000, DAY_MS, 40 * DAY_MS]), filtered=st.booleans())
def test_of_under_50_events_in_30_days_a_new_metric_says_what_an_old_one_says(
    aggregate: Aggregate, events: list[tuple[int, Any, str]], window_ms: int | None, filtered: bool
) -> None:
    more = {"filter": {"field": "data.v", "operator": "neq", "value": 2}} if filtered else {}
    with_it, without = clock(document(aggregate, window_ms, **more)), clock()
    old, new = someone(), someone()
    for age_ms, value, event_type in events:
        fold(old, with_it, age_ms, value, event_type)
        fold(new, without, age_ms, value, event_type)
    assert new.metrics == {}
    assert now(new, with_it) == now(old, with_it)
    assert new.metrics == {}
    assert since(new, with_it) is None
    for customer in (old, new):
        fold(customer, with_it, 0, 1)
    assert new.metrics == old.metrics
    assert now(new, with_it) == now(old, with_it)


def test_the_event_that_opens_the_window_counts_once() -> None:
    customer, when = someone(), clock(document())
    for _ in range(3):
        fold(customer, clock(), 0)
    fold(customer, when, 0)
    assert now(customer, when) == 4
    fold(customer, when, 0)
    assert now(customer, when) == 5


def test_a_metric_whose_definition_changed_is_counted_anew() -> None:
    customer = someone()
    for value in (1, 2, 3):
        fold(customer, clock(document("sum")), 0, value)
    for changed, expected in ((document("max"), 3.0), (document("count"), 3.0), (document("avg"), 2.0)):
        assert now(customer, clock(changed)) == expected
    narrowed = clock(document("sum", filter={"field": "data.v", "operator": "gt", "value": 1}))
    assert now(customer, narrowed) == 5
    fold(customer, narrowed, 0, 4)
    assert now(customer, narrowed) == 9


def test_a_changed_name_changes_nothing() -> None:
    customer = someone()
    for _ in range(RECENT_MAX + 20):
        fold(customer, clock(document()), 0)
    renamed = clock(document(name="Purchases", description="!"))
    assert now(customer, renamed) == RECENT_MAX + 20
    assert since(customer, renamed) is None


def test_a_response_is_kept_with_its_three_fields() -> None:
    customer, before = someone(), clock()
    response = Response(
        tenant_id="t",
        customer_id="c",
        outcome="convert",
        offer_id="card",
        channel_id="mail",
        conversion_value=9.5,
        idempotency_key="k",
    )
    for _ in range(2):
        fold_response(customer, response, NOW_MS, before, "responses/0/1")
    assert [(one.at_ms, one.type) for one in customer.recent] == [(NOW_MS, "outcome.convert")]
    for aggregate, field, expected in (
        ("sum", "conversionValue", 9.5),
        ("last", "offerId", "card"),
        ("distinct", "channelId", 1.0),
        ("last", "data.channelId", "mail"),
    ):
        assert now(customer, clock(document(aggregate, field=field))) == expected


@pytest.mark.parametrize("count", [0, 49, 50, 57, 58, 64, 65, 200])
def test_at_least_the_last_50_are_kept_and_at_most_a_segment_and_a_half_more(count: int) -> None:
    customer, when = someone(), clock()
    for number in range(count):
        fold(customer, when, count - number, number)
    kept = [msgspec.json.decode(one.data)["v"] for one in customer.recent]
    assert kept == list(range(count))[-len(kept) :] if kept else count == 0
    assert min(count, RECENT_MAX) <= len(kept) < RECENT_MAX + 2 * RECENT_SEGMENT
    gone = count - len(kept)
    assert customer.recent_since_ms == (NOW_MS - count + gone if gone else 0)


def test_since_when_it_is_complete_when_events_went() -> None:
    customer = someone()
    for number in range(100):
        fold(customer, clock(), 100_000 - number * 1_000)
    when = clock(document())
    kept = len(customer.recent)
    assert now(customer, when) == kept
    assert since(customer, when) == NOW_MS - 100_000 + (100 - kept - 1) * 1_000 + 1
    assert since(customer, clock(document(window_ms=10_000))) is None
    assert since(customer, clock(document(window_ms=10**9))) == since(customer, when)
    fold(customer, when, 0)
    assert customer.metrics["m"].since_ms == customer.recent_since_ms
    assert since(customer, when) == customer.recent_since_ms


def test_a_metric_that_was_there_before_events_went_misses_nothing_though_it_counted_none() -> None:
    customer, when = someone(), clock(document())
    for _ in range(200):
        fold(customer, when, 0, event_type="page")
    assert (now(customer, when), since(customer, when)) == (0, None)
    fold(customer, when, 0)
    assert (now(customer, when), since(customer, when)) == (1, None)


def test_a_new_metric_counts_what_was_kept_when_it_came_though_that_went_before_its_first_event() -> None:
    customer, when = someone(), clock(document())
    fold(customer, clock(), 0)
    for _ in range(RECENT_MAX):
        fold(customer, clock(), 0, event_type="page")
    for _ in range(RECENT_MAX):
        fold(customer, when, 0, event_type="page")
    assert {one.type for one in customer.recent} == {"page"}
    assert (now(customer, when), since(customer, when)) == (1, None)


def test_an_event_older_than_30_days_is_counted_but_not_kept() -> None:
    customer, when = someone(), clock(document())
    fold(customer, when, RECENT_WINDOW_MS + 1)
    assert list(customer.recent) == []
    assert (now(customer, when), since(customer, when)) == (1, None)
    later = clock(document("max"))
    assert (now(customer, later), since(customer, later)) == (None, NOW_MS - RECENT_WINDOW_MS)
    fold(customer, when, RECENT_WINDOW_MS)
    assert len(customer.recent) == 1


def test_events_of_more_than_30_days_leave_segment_by_segment() -> None:
    customer = someone()
    for _ in range(RECENT_SEGMENT):
        fold(customer, clock(), 0)
    later = clock(now_ms=NOW_MS + RECENT_WINDOW_MS + 1)
    for _ in range(RECENT_SEGMENT):
        fold(customer, later, 0)
    assert [one.at_ms for one in customer.recent] == [later.now_ms] * RECENT_SEGMENT
    assert customer.recent_since_ms == NOW_MS + 1


def test_large_data_is_not_kept_and_a_later_metric_says_so() -> None:
    customer, before = someone(), clock(document("max"))
    fits = "x" * (RECENT_DATA_BYTES - len('{"v":""}'))
    fold(customer, before, 9, fits)
    fold(customer, before, 5, fits + "x")
    assert [len(one.data) for one in customer.recent] == [RECENT_DATA_BYTES, 0]
    assert (now(customer, before), since(customer, before)) == (None, None)
    assert (now(customer, clock(document())), since(customer, clock(document()))) == (2, None)
    assert since(customer, clock(document("distinct"))) == NOW_MS - 5 + 1
    assert since(customer, clock(document("distinct", eventTypes=["page"]))) is None


def test_a_window_stored_without_a_fingerprint_goes_on() -> None:
    customer, when = someone(), clock(document())
    customer.metrics = {"m": Window(0, {0: 41.0})}
    assert now(customer, when) == 41
    fold(customer, when, 0)
    assert now(customer, when) == 42
    assert customer.metrics["m"].fingerprint == when.catalogue.tenant("t").metrics["m"].fingerprint


@pytest.mark.parametrize(
    "other",
    [
        document("avg"),
        document(window_ms=60_000),
        document(filter={"field": "data.v", "operator": "exists"}),
    ],
)
def test_a_window_stored_without_a_fingerprint_is_no_other_metrics(other: dict[str, Any]) -> None:
    customer = someone()
    customer.metrics = {"m": Window(0, {0: 41.0})}
    assert now(customer, clock(other)) in (0, None)
    fold(customer, clock(other), 0, 5)
    assert now(customer, clock(other)) in (1, 5)


def test_a_decision_reads_the_new_metric_and_stores_nothing() -> None:
    customer = someone()
    for value in (1, 2):
        fold(customer, clock(), 0, value)
    when = clock(document("sum"))
    view = CustomerView("c", metrics=customer.metrics, recent=customer.recent.entries, recent_since_ms=5_000)
    environment = enrich(Visible(None, when.catalogue.tenant("t").metrics), DecisionRequest(), view, NOW_MS)
    fields = environment["metrics"]
    assert isinstance(fields, MetricFields)
    assert [fields.get("m"), fields.get("m"), fields.get("other")] == [3.0, 3.0, None]
    assert fields.all() == {"m": 3.0}
    assert fields.incomplete() == {"m": 5_000}
    assert customer.metrics == {}


@settings(max_examples=40)
@given(
    steps=st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=8),
    appear=st.integers(0, 8),
)
def test_folding_from_the_store_gives_the_same_bytes(steps: Sequence[tuple[int, bool]], appear: int) -> None:
    """Stored and loaded anywhere in between, or never: the same customer."""
    kept, reloaded, store = someone(), someone(), dict[bytes, bytes]()
    for number, (count, reload) in enumerate(steps):
        when = clock(*([document("distinct", DAY_MS)] if number >= appear else []))
        for i in range(count):
            for customer in (kept, reloaded):
                fold(customer, when, count - i, f"v{i}", "page" if i % 3 else "purchase")
        if reload:
            reloaded = _written_and_read(reloaded, store)
    assert list(reloaded.recent) == list(kept.recent)
    assert reloaded.recent.base == kept.recent.base
    assert reloaded.recent_since_ms == kept.recent_since_ms
    assert msgspec.msgpack.encode(reloaded.metrics) == msgspec.msgpack.encode(kept.metrics)


def _written_and_read(customer: Customer, store: dict[bytes, bytes]) -> Customer:
    for key, value in changes_of(customer):
        if value is None:
            store.pop(key, None)
        else:
            store[key] = value
    settle(customer)
    segments = [key for key in store if key.startswith(b"E")]
    assert len(segments) == len(customer.recent) // RECENT_SEGMENT
    loaded = load_customer(b"t:c", store.get)
    assert loaded is not None
    return loaded
