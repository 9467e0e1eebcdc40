"""Contacts one by one and as totals: nothing lost, nothing invented, whatever the history."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.contacts import appending, totals
from app.decision.contacts.totals import QUARTER_MS, TOTALS_KEPT
from app.decision.state import (
    CONTACT_MAX,
    CONTACT_SEGMENT,
    CONTACT_WINDOW_MS,
    TOTALS_MAX,
    Contact,
    Customer,
)
from tables.codec import changes_of, settle
from tests.decision.contacts.counting import (
    DAY_MS,
    FIELDS,
    NOW_MS,
    contact,
    counted,
    cut,
    folded,
    happened,
    widest,
)

_AGES = st.one_of(
    st.integers(-DAY_MS, 3 * QUARTER_MS),
    st.integers(0, 20 * DAY_MS),
    st.integers(300 * DAY_MS, 900 * DAY_MS),
)


def _burst(age_ms: int, what: int, placement: str | None, times: int, apart_ms: int) -> list[Contact]:
    return [contact(NOW_MS - age_ms + n * apart_ms, what, placement) for n in range(times)]


#: Bursts in any order, so that contacts are late, crowded and of few things.
_HISTORIES = st.lists(
    st.builds(
        _burst,
        _AGES,
        st.integers(0, 3),
        st.sampled_from([None, "p1", "p2"]),
        st.integers(1, 40),
        st.sampled_from([0, 1, 60_000, QUARTER_MS, DAY_MS]),
    ),
    max_size=16,
).map(lambda bursts: [one for burst in bursts for one in burst])


def _folded_small(history: list[Contact], kept: int, most_totals: int) -> Customer:
    """The customer under bounds so small that short histories reach them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "CONTACT_MAX", kept)
        patch.setattr(totals, "TOTALS_MAX", most_totals)
        patch.setattr(totals, "TOTALS_KEPT", most_totals * 3 // 4)
        return folded(history)


@pytest.mark.parametrize("most_totals", [40, 100, TOTALS_MAX])
@settings(max_examples=120)
@given(history=_HISTORIES, sort=st.booleans(), probes=st.lists(_AGES, max_size=8))
def test_counts_are_those_of_the_whole_history(
    most_totals: int, history: list[Contact], sort: bool, probes: list[int]
) -> None:
    if sort:
        history = sorted(history, key=lambda one: one.at_ms)
    customer = _folded_small(history, 64, most_totals)
    assert len(customer.contacts) < 64 + CONTACT_SEGMENT
    assert len(customer.totals) <= most_totals
    scopes: list[dict[str, str | None]] = [
        {},
        {"placement_id": "p1"},
        {"offer_id": "o1", "channel_id": "ch1"},
    ]
    scopes += [{field: getattr(contact(0, 1), field)} for field in FIELDS]
    edges = [NOW_MS - age_ms for age_ms in probes] + [one.at_ms for one in history[::9]]
    edges = [edge for edge in edges if edge >= NOW_MS - CONTACT_WINDOW_MS]
    for where in scopes:
        assert counted(customer, where, None) == happened(history, where, None)
        for edge in edges:
            found, true = counted(customer, where, edge), happened(history, where, edge)
            assert found >= true
            if not cut(customer, edge):
                assert found == true


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Asia/Kathmandu", "America/St_Johns", "Australia/Eucla", "Pacific/Chatham", "Europe/Vienna"],
)
def test_calendar_days_are_exact_in_every_zone(zone: str) -> None:
    today = datetime.fromtimestamp(NOW_MS / 1000, ZoneInfo(zone)).replace(hour=0, minute=0, second=0)
    begins_ms = [int((today - timedelta(days=days)).timestamp() * 1000) for days in range(400)]
    around = [contact(at_ms + apart) for at_ms in begins_ms for apart in (-1, -30_000, 0, 1, 30_000)]
    customer = _folded_small([*around, *[contact(NOW_MS)] * 64], 1, TOTALS_MAX)
    assert sum(one.count for one in customer.totals) >= len(around)
    for at_ms in begins_ms:
        assert counted(customer, {}, at_ms - 1) == happened(around, {}, at_ms - 1) + 64
    assert widest(customer) < QUARTER_MS


def test_the_last_two_thousand_in_time_order_stay_one_by_one() -> None:
    history = [contact(NOW_MS - 5_000 + n, n % 5) for n in range(5_000)]
    customer = folded(history)
    assert list(customer.contacts)[-CONTACT_MAX:] == history[-CONTACT_MAX:]
    assert counted(customer, {}, None) == 5_000
    for edge in range(NOW_MS - CONTACT_MAX - 1, NOW_MS, 97):
        assert counted(customer, {}, edge) == happened(history, {}, edge)


def test_a_flood_of_late_reports_pushes_no_newer_contact_out() -> None:
    fresh = [contact(NOW_MS - 1_000_000 + n) for n in range(CONTACT_MAX)]
    late = [contact(NOW_MS - 30 * DAY_MS + n, 1) for n in range(3 * CONTACT_MAX)]
    customer = folded([*fresh, *late])
    assert list(customer.contacts) == fresh
    assert counted(customer, {}, None) == 4 * CONTACT_MAX
    assert {one.offer_id for one in customer.totals} == {"o1"}


def test_contacts_of_four_hundred_days_ago_become_totals_by_whole_segments() -> None:
    customer = folded([contact(NOW_MS - CONTACT_WINDOW_MS - 1)] * 40)
    assert (len(customer.contacts), counted(customer, {}, None)) == (8, 40)
    assert [one.count for one in customer.totals] == [32]


def test_totals_stay_bounded_and_exact_by_thing_when_things_are_few() -> None:
    history = [contact(NOW_MS - 399 * DAY_MS + n * 2 * QUARTER_MS, n % 7) for n in range(12_000)]
    customer = folded(history)
    assert len(customer.totals) <= TOTALS_MAX
    assert widest(customer) <= 30 * DAY_MS
    for what in range(7):
        where = {"creative_id": f"c{what}"}
        assert counted(customer, where, None) == happened(history, where, None)


@pytest.mark.parametrize("things", [2_500, 12_000])
def test_totals_stay_bounded_and_never_count_too_few_of_very_many_things(things: int) -> None:
    history = [contact(NOW_MS - 399 * DAY_MS + n * 60_000, n % things) for n in range(12_000)]
    customer = folded(history)
    assert len(customer.totals) <= TOTALS_MAX
    assert sum(one.count for one in customer.totals) + len(customer.contacts) == len(history)
    assert counted(customer, {}, None) == len(history)
    for what in range(0, things, 311):
        for where in (
            {"creative_id": f"c{what}"},
            {"offer_id": f"o{what}"},
            {"category_id": f"cat{what % 3}"},
        ):
            for edge in (None, NOW_MS - 395 * DAY_MS):
                assert counted(customer, where, edge) >= happened(history, where, edge)
    newest = NOW_MS - 399 * DAY_MS + (12_000 - CONTACT_MAX) * 60_000
    assert counted(customer, {"creative_id": "c0"}, newest) == happened(
        history, {"creative_id": "c0"}, newest
    )


def test_older_than_400_days_loses_its_time_before_anything_else() -> None:
    old = [contact(NOW_MS - 450 * DAY_MS + n * QUARTER_MS, n % 3) for n in range(TOTALS_MAX - 100)]
    new = [contact(NOW_MS - 100 * DAY_MS + n * QUARTER_MS, n % 3) for n in range(101)]
    history = [*old, *new]
    customer = Customer("t", "c")
    totals.add_to_totals(customer, history, NOW_MS)
    assert len(customer.totals) == 3 + 101 <= TOTALS_KEPT
    assert widest(customer) == 0


def test_one_more_contact_rewrites_few_segments() -> None:
    customer = Customer("t", "c")
    keys: Counter[int] = Counter()
    for number in range(12_000):
        appending.add_contact(customer, contact(NOW_MS + number * 700_000, number % 900), NOW_MS)
        keys[len(changes_of(customer))] += 1
        settle(customer)
    # The head and a contact segment; the one that goes and the totals it adds to; the totals made coarser.
    many = {count: times for count, times in keys.items() if count > 7}
    assert keys[2] > 12_000 * 30 // 32
    assert sum(many.values()) <= 12_000 // 500, many
    assert max(many) < 2 * (TOTALS_MAX + CONTACT_SEGMENT) // 32 + 7
