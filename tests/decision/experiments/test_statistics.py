"""Experiment statistics: published figures, edges, and what must hold for any counts."""

from __future__ import annotations

import importlib
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.experiments.chi_square import chi_square_survival
from app.decision.experiments.statistics import (
    Comparison,
    VariantCounts,
    compare,
    newcombe,
    results,
    sample_ratio,
    wilson,
)
from tests.decision.learning.tree_files import require


def variant(key: str, exposures: int, conversions: int, weight: float = 50) -> VariantCounts:
    return VariantCounts(key, weight, exposures, conversions)


def against(x1: int, n1: int, x2: int, n2: int) -> Comparison:
    return compare(variant("b", n1, x1), variant("a", n2, x2))


#: Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
@pytest.mark.parametrize(
    ("conversions", "exposures", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval(conversions: int, exposures: int, low: float, high: float) -> None:
    found = wilson(conversions, exposures)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


#: Newcombe, "Interval estimation for the difference between independent proportions", 1998, table II,
#: method 10.
@pytest.mark.parametrize(
    ("x1", "n1", "x2", "n2", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (0, 10, 0, 10, -0.2775, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_interval_of_the_difference(x1: int, n1: int, x2: int, n2: int, low: float, high: float) -> None:
    found = newcombe(x1, n1, x2, n2)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


#: Quantiles printed in every table (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4).
@pytest.mark.parametrize(
    ("statistic", "degrees", "p"),
    [
        (3.841, 1, 0.05), (10.828, 1, 0.001), (5.991, 2, 0.05), (13.816, 2, 0.001), (18.307, 10, 0.05),
        (2.706, 1, 0.10), (124.342, 100, 0.05), (149.449, 100, 0.001), (0.0, 3, 1.0), (math.inf, 3, 0.0),
    ],
)  # fmt: skip
def test_chi_square_tail(statistic: float, degrees: int, p: float) -> None:
    assert chi_square_survival(statistic, degrees) == pytest.approx(p, rel=2e-3)


@given(st.floats(0, 1_000), st.integers(1, 200))
def test_chi_square_tail_against_exact_forms(statistic: float, degrees: int) -> None:
    """One degree of freedom is the normal's tail; an even number of them is a Poisson sum."""
    half = statistic / 2
    assert chi_square_survival(statistic, 1) == pytest.approx(
        math.erfc(math.sqrt(half)), rel=1e-9, abs=1e-300
    )
    terms = (
        [math.exp(i * math.log(half) - half - math.lgamma(i + 1)) for i in range(degrees)] if half else [1.0]
    )
    assert chi_square_survival(statistic, 2 * degrees) == pytest.approx(math.fsum(terms), rel=1e-9, abs=1e-12)


def test_chi_square_tail_against_scipy() -> None:
    require("scipy.stats")
    chi2 = importlib.import_module("scipy.stats").chi2
    for degrees in (1, 2, 3, 7, 50):
        for statistic in (1e-6, 0.1, 1, degrees, 3 * degrees, 200):
            wanted = float(chi2.sf(statistic, degrees))
            assert chi_square_survival(statistic, degrees) == pytest.approx(wanted, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize(("statistic", "degrees"), [(-1, 1), (math.nan, 1), (1, 0)])
def test_chi_square_refuses_what_is_none(statistic: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="degrees"):
        chi_square_survival(statistic, degrees)


def test_the_physicians_health_study() -> None:
    """Aspirin and myocardial infarction (Agresti, "Categorical Data Analysis", table 3.1): 104 of 11,037 with
    aspirin, 189 of 11,034 with placebo; X² = 25.01, so z = 5.00, and a relative risk of 1.82."""
    found = against(189, 11_034, 104, 11_037)
    assert found.z == pytest.approx(math.sqrt(25.01), abs=1e-3)
    assert found.p == pytest.approx(5.7e-7, rel=0.02)
    assert found.relative_uplift == pytest.approx(0.82, abs=5e-3)
    assert found.uplift == pytest.approx(0.0077, abs=5e-5)
    assert (found.significant, found.insufficient_data) == (True, False)


@pytest.mark.parametrize(
    ("x1", "n1", "x2", "n2", "insufficient", "significant"),
    [
        (10, 100, 0, 100, False, True),  # exactly five expected in each
        (9, 100, 0, 100, True, False),  # z says yes, the rule says wait
        (100, 100, 91, 100, True, False),  # non-conversions count as well
        (50, 1_000, 50, 1_000, False, False),
        (0, 1_000, 0, 1_000, True, False),
    ],
)
def test_enough_data(x1: int, n1: int, x2: int, n2: int, insufficient: bool, significant: bool) -> None:
    found = against(x1, n1, x2, n2)
    assert (found.insufficient_data, found.significant) == (insufficient, significant)


@pytest.mark.parametrize(
    ("exposures", "weights", "mismatch"),
    [
        ((821_588, 815_482), (50, 50), True),  # the example of Fabijan and others, 2019: p = 1.8e-6
        ((5_000, 5_100), (50, 50), False),
        ((9_000, 1_000), (90, 10), False),
        ((9_000, 1_000), (50, 50), True),
        ((10, 0), (100, 0), False),
        ((10, 1), (100, 0), True),  # exposures of a variant without weight
        ((4, 0), (50, 50), False),  # too few to tell
        ((0, 0), (50, 50), False),
        ((), (), False),
    ],
)
def test_sample_ratio_mismatch(
    exposures: tuple[int, ...], weights: tuple[float, ...], mismatch: bool
) -> None:
    pairs = zip(exposures, weights, strict=True)
    variants = [variant(str(i), n, 0, weight) for i, (n, weight) in enumerate(pairs)]
    assert results(variants, "0").sample_ratio_mismatch is mismatch


def test_the_published_p_of_a_sample_ratio_mismatch() -> None:
    assert sample_ratio([variant("a", 821_588, 0), variant("b", 815_482, 0)]) == pytest.approx(
        1.8e-6, rel=0.05
    )


def test_nothing_is_significant_under_a_sample_ratio_mismatch() -> None:
    found = results([variant("a", 10_000, 100), variant("b", 5_000, 400)], "a")
    compared = found.variants[1].against_control
    assert compared is not None
    assert compared.p is not None
    assert compared.p < 1e-9
    assert not compared.significant


def test_the_wire_form_is_camel_case_and_null_where_nothing_can_be_said() -> None:
    found = msgspec.to_builtins(results([variant("a", 0, 0), variant("b", 10, 20)], "a"))
    assert found["variants"][0] == {
        "key": "a", "exposures": 0, "conversions": 0, "rate": None, "interval": None, "againstControl": None,
    }  # fmt: skip
    assert found["variants"][1]["rate"] == 1.0
    assert found["variants"][1]["againstControl"] == {
        "uplift": None, "relativeUplift": None, "z": None, "p": None, "interval": None,
        "significant": False, "insufficientData": True,
    }  # fmt: skip
    assert found["sampleRatioMismatch"] is False


COUNTS = st.integers(-5, 10**9) | st.integers(0, 50)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_any_counts_have_a_result_that_turns_around(n1: int, x1: int, n2: int, x2: int) -> None:
    there, back = against(x1, n1, x2, n2), against(x2, n2, x1, n1)
    assert (there.significant, there.insufficient_data) == (back.significant, back.insufficient_data)
    if there.uplift is None or there.interval is None or back.interval is None:
        assert min(n1, n2) <= 0
        return
    assert -1 <= there.interval.low <= there.uplift <= there.interval.high <= 1
    assert there.interval.low == pytest.approx(-back.interval.high, abs=1e-12)
    assert there.p == back.p


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate_and_is_mirrored(counts: tuple[int, int]) -> None:
    conversions, exposures = counts
    found, mirrored = wilson(conversions, exposures), wilson(exposures - conversions, exposures)
    assert found is not None
    assert mirrored is not None
    assert 0 <= found.low <= conversions / exposures <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)
