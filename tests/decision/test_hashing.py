"""Buckets: published hashes, an even spread, and divisions that know nothing of each other."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.experiments.chi_square import chi_square_survival
from app.decision.hashing import bucket, fmix64, fnv1a_64

CUSTOMERS = 20_000
#: Customers as shops number them.
IDS = {
    "numbers": [str(i) for i in range(CUSTOMERS)],
    "prefixed": [f"cust_{i}" for i in range(CUSTOMERS)],
    "mail": [f"{i}@mail.example" for i in range(CUSTOMERS)],
    "uuid": [str(uuid.uuid5(uuid.NAMESPACE_OID, str(i))) for i in range(CUSTOMERS)],
}
SALTS = ["experiment/e1", "experiment-holdout/e1", "holdout/shop", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # RFC 9923, and the authors' test vectors
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"b", 0xAF63DF4C8601F1A5),
        (b"foobar", 0x85944171F73967E8),
    ],
)
def test_fnv_1a_is_the_published_one(text: bytes, expected: int) -> None:
    assert fnv1a_64(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (1, 0xB456BCFC34C2CB2C), (2**64 - 1, 0x64B5720B4B825F21)],
)
def test_the_finaliser_is_the_published_one(value: int, expected: int) -> None:
    assert fmix64(value) == expected


@pytest.mark.parametrize("salt", SALTS)
@pytest.mark.parametrize("shape", IDS)
@pytest.mark.parametrize("parts", [2, 10, 100])
def test_customers_spread_evenly(shape: str, salt: str, parts: int) -> None:
    counts = Counter(int(one * parts / 100) for one in _buckets(shape, salt))
    assert set(counts) <= set(range(parts))
    assert _uniform([counts[part] for part in range(parts)]) > 1e-4


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(SALTS, 2)))
@pytest.mark.parametrize("shape", IDS)
def test_one_division_says_nothing_about_another(shape: str, first: str, second: str) -> None:
    pairs = zip(_buckets(shape, first), _buckets(shape, second), strict=True)
    cells = Counter((int(one / 10), int(other / 10)) for one, other in pairs)
    assert _uniform([cells[row, column] for row in range(10) for column in range(10)]) > 1e-4


@given(st.text(), st.text())
def test_a_bucket_is_a_percentage_and_stays(salt: str, customer_id: str) -> None:
    found = bucket(salt, customer_id)
    assert 0.0 <= found < 100.0
    assert found == bucket(salt, customer_id)


def test_a_bucket_is_the_same_in_every_version() -> None:
    assert [round(bucket("experiment/e1", one), 6) for one in ("ann", "bob", "", "Zoë")] == BUCKETS


@cache
def _buckets(shape: str, salt: str) -> list[float]:
    return [bucket(salt, one) for one in IDS[shape]]


def _uniform(counts: list[int]) -> float:
    """The probability of counts at least so uneven, if all cells are equally likely."""
    expected = sum(counts) / len(counts)
    statistic = sum((count - expected) ** 2 / expected for count in counts)
    return chi_square_survival(statistic, len(counts) - 1)


#: Kept: a change would move every customer of every experiment.
BUCKETS = [69.725299, 96.330289, 38.322234, 24.145636]
