"""Buckets: the published hash, evenly, and each division by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.hashing import bucket, fnv1a_64


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # RFC 9923 and the authors' test suite (test_fnv.c).
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"b", 0xAF63DF4C8601F1A5),
        (b"foobar", 0x85944171F73967E8),
        (b"chongo was here!\n", 0x46810940EFF5F915),
    ],
)
def test_the_hash_is_fnv_1a_of_64_bits(text: bytes, wanted: int) -> None:
    assert fnv1a_64(text) == wanted


@pytest.mark.parametrize(
    ("salt", "customer", "wanted"),
    [("holdout/shop", "ann", 60.151), ("holdout/shop", "C-1", 79.0638), ("e1", "ann", 26.3572)],
)
def test_a_bucket_never_moves(salt: str, customer: str, wanted: float) -> None:
    assert bucket(salt, customer) == wanted


@given(salt=st.text(max_size=8), customer=st.text(st.characters(), max_size=20))
def test_any_text_has_a_bucket(salt: str, customer: str) -> None:
    assert 0 <= bucket(salt, customer) < 100


def chi_square(counts: list[int]) -> float:
    even = sum(counts) / len(counts)
    return sum((count - even) ** 2 / even for count in counts)


@pytest.mark.parametrize("form", ["C-{}", "{}", "{:012d}", "customer-{}@example.com", "{}-x"])
def test_numbered_customers_spread_evenly(form: str) -> None:
    counts = [0] * 20
    for number in range(20_000):
        counts[int(bucket("holdout/shop", form.format(number)) / 5)] += 1
    # 19 degrees of freedom: more than 43.8 happens once in a thousand.
    assert chi_square(counts) < 43.8


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("exp-1", "exp-2"), ("holdout/shop", "exp-1")])
def test_being_in_one_division_says_nothing_about_another(one: str, other: str) -> None:
    counts = [0] * 16
    for number in range(16_000):
        customer = f"C-{number}"
        counts[int(bucket(one, customer) / 25) * 4 + int(bucket(other, customer) / 25)] += 1
    # 15 degrees of freedom: more than 37.7 happens once in a thousand.
    assert chi_square(counts) < 37.7


def test_a_share_that_grows_keeps_its_customers() -> None:
    customers = [f"C-{number}" for number in range(1_000)]
    small = {one for one in customers if bucket("s", one) < 5}
    large = {one for one in customers if bucket("s", one) < 10}
    assert small < large
