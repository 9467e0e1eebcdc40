"""Chance: known draws, moments, and the same in every process."""

from __future__ import annotations

import hashlib
import math
import statistics
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.learning.chance import SHAPE_MAX, SHAPE_MIN, Chance

DRAWS = 20_000


def test_uniforms_are_words_of_the_hash_of_salt_and_block() -> None:
    chance = Chance("salt", "arm")
    parts = b"\x04\x00\x00\x00salt\x03\x00\x00\x00arm"
    digests = [hashlib.blake2b(parts + bytes([block]) + b"\x00" * 7).digest() for block in (0, 1)]
    words = [word for digest in digests for word in struct.unpack("<8Q", digest)]
    assert [chance.uniform() for _ in words] == [((word >> 12) + 0.5) / 2**52 for word in words]


#: These must never change: a decision's draws are repeated from its salt when it is evaluated.
GOLDEN = {
    "uniform": 0.9609134302313646,
    "normal": 0.03093691484542137,
    "gamma": 2.212524348235094,
    "beta": 0.006929097885266033,
}


def drawn() -> dict[str, float]:
    return {
        "uniform": Chance("golden").uniform(),
        "normal": Chance("golden").normal(),
        "gamma": Chance("golden").gamma(2.5),
        "beta": Chance("golden").beta(0.5, 3.0),
    }


def test_draws_of_a_salt_never_change() -> None:
    assert drawn() == pytest.approx(GOLDEN, rel=1e-12)


def test_another_process_draws_the_same() -> None:
    program = "from tests.decision.learning.test_chance import drawn; print(drawn())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(drawn())


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (lambda chance: chance.uniform(), 1 / 2, 1 / 12),
        (lambda chance: chance.normal(), 0, 1),
        (lambda chance: chance.gamma(0.3), 0.3, 0.3),
        (lambda chance: chance.gamma(1), 1, 1),
        (lambda chance: chance.gamma(40), 40, 40),
        (lambda chance: chance.beta(1, 1), 1 / 2, 1 / 12),
        (lambda chance: chance.beta(0.5, 0.5), 1 / 2, 1 / 8),
        (lambda chance: chance.beta(3, 97), 0.03, 0.03 * 0.97 / 101),
        (lambda chance: chance.beta(2_000, 1_000), 2 / 3, 2 / 9 / 3_001),
    ],
)
def test_mean_and_variance(draw: Callable[[Chance], float], mean: float, variance: float) -> None:
    """Within five standard errors; a variance's is √((kurtosis − 1) / n), no kurtosis here is above 24."""
    chance = Chance("moments")
    found = [draw(chance) for _ in range(DRAWS)]
    assert abs(statistics.fmean(found) - mean) < 5 * math.sqrt(variance / DRAWS)
    assert statistics.variance(found) == pytest.approx(variance, rel=5 * math.sqrt(23 / DRAWS))


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 5.0), (1.0, 30.0), (4.0, 1.0)])
def test_beta_draws_follow_their_distribution(alpha: float, beta: float) -> None:
    """Kolmogorov and Smirnov's distance at p = 0.001, against the binomial form of the distribution."""
    chance = Chance("distribution")
    found = sorted(chance.beta(alpha, beta) for _ in range(5_000))
    n = int(alpha + beta) - 1

    def below(x: float) -> float:
        return math.fsum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(int(alpha), n + 1))

    distance = max(abs(below(x) - (i + 0.5) / len(found)) for i, x in enumerate(found))
    assert distance < 1.95 / math.sqrt(len(found))


def test_neighbouring_salts_are_not_alike() -> None:
    found = [Chance("salt", str(i)).uniform() for i in range(DRAWS)]
    following = found[1:] + found[:1]
    products = [(a - 0.5) * (b - 0.5) * 12 for a, b in zip(found, following, strict=True)]
    assert abs(statistics.fmean(products)) < 5 / math.sqrt(DRAWS)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_salts_are_told_apart_part_by_part(first: list[str], second: list[str]) -> None:
    same = Chance(*first).uniform() == Chance(*second).uniform()
    assert same is (first == second)


SHAPES = st.floats(SHAPE_MIN, SHAPE_MAX)


@given(st.text(max_size=8), SHAPES, SHAPES)
def test_draws_stay_where_they_belong(salt: str, alpha: float, beta: float) -> None:
    chance = Chance(salt)
    assert 0 < chance.uniform() < 1
    assert 0 <= chance.gamma(alpha) < math.inf
    assert 0 <= chance.beta(alpha, beta) <= 1


@pytest.mark.parametrize("shape", [0, -1, SHAPE_MIN / 2, SHAPE_MAX * 2, math.nan, math.inf])
def test_a_shape_out_of_range_is_refused(shape: float) -> None:
    with pytest.raises(ValueError, match="shape"):
        Chance("s").gamma(shape)
