"""Months in UTC, and counts of the newest one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.evidence import MONTHLIES, are_totals, encode_monthly, monthly_of
from app.decision.months import Monthly, month_ends_ms, month_name, month_of, sum_of

NOVEMBER = 2026 * 12 + 10


def ms(*at: int) -> int:
    return int(datetime(*at, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("at_ms", "name"),
    [
        (0, "1970-01"),
        (ms(2026, 11, 1), "2026-11"),
        (ms(2026, 12, 1) - 1, "2026-11"),
        (ms(2026, 12, 31, 23, 59, 59), "2026-12"),
        (ms(2027, 1, 1), "2027-01"),
        (ms(2028, 2, 29), "2028-02"),
    ],
)
def test_a_month_has_a_name_and_ends_where_the_next_begins(at_ms: int, name: str) -> None:
    month = month_of(at_ms)
    assert month_name(month) == name
    assert month_of(month_ends_ms(month) - 1) == month
    assert month_of(month_ends_ms(month)) == month + 1


def test_a_count_keeps_its_month_and_the_one_before() -> None:
    counted = Monthly()
    for month in (NOVEMBER, NOVEMBER, NOVEMBER + 1, NOVEMBER, NOVEMBER - 1):
        counted = counted.and_one(month)
    assert counted == Monthly(NOVEMBER + 1, 1, 3)
    assert [counted.of(NOVEMBER + n) for n in (-1, 0, 1, 2)] == [0, 3, 1, 0]
    assert counted.and_one(NOVEMBER + 3) == Monthly(NOVEMBER + 3, 1, 0)


months = st.lists(st.integers(NOVEMBER, NOVEMBER + 3), max_size=30)


@given(months, months, st.integers(0, 1))
def test_partitions_count_together_what_one_would(one: list[int], other: list[int], back: int) -> None:
    parts = []
    for months in (one, other):
        counted = Monthly()
        for month in sorted(months):
            counted = counted.and_one(month)
        parts.append(encode_monthly(counted))
    merged = MONTHLIES.merge(parts)
    assert merged == MONTHLIES.merge(parts[::-1])
    assert are_totals("decisions", merged)
    newest = max([*one, *other], default=0)
    month = newest - back
    assert monthly_of(merged).of(month) == [*one, *other].count(month)


def test_its_bytes_stay_as_they_are() -> None:
    assert encode_monthly(Monthly(24_322, 300, 7)).hex() == "93cd5f02cd012c07"
    assert monthly_of(bytes.fromhex("93cd5f02cd012c07")) == Monthly(24_322, 300, 7)
    assert sum_of([]) == Monthly()


@pytest.mark.parametrize(
    "totals", [b"", b"\xc0", bytes.fromhex("93ff0000"), bytes.fromhex("93cf7fffffffffffffff0000")]
)
def test_what_are_no_counts_are_no_totals(totals: bytes) -> None:
    assert not are_totals("decisions", totals)
