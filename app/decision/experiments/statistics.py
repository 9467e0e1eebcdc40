"""Whether a variant wins: rates, intervals and tests from counts.

Rules of this module:

1.  A variant's rate is conversions / exposures with the Wilson score interval at 95 %. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22, 1927. Conversions above the
    exposures (sums from partitions may arrive in any order) count as the exposures.
2.  Against control: z of the pooled two-proportion test and its two-sided p; the 95 % interval of the
    difference is Newcombe's hybrid score interval without continuity correction: method 10 of "Interval
    estimation for the difference between independent proportions", Statistics in Medicine 17, 1998. It is
    not the test turned around: near p = 0.05 one may say yes and the other no.
3.  What cannot be computed is null: a rate without exposures, a relative uplift against a rate of 0, z when
    nobody or everybody converted.
4.  `sampleRatioMismatch`: the exposures differ from the weights with p < 0.001 by Pearson's chi-square
    test. Fabijan and others, "Diagnosing sample ratio mismatch", KDD 2019. Then nothing else can be
    believed. Below five expected exposures for a variant the test does not hold, and says nothing.
5.  `insufficientData`: for one of the two variants, fewer than five expected conversions or non-conversions
    at the pooled rate (Cochran's rule for 2 × 2 tables, 1954): z is no normal deviate yet.
6.  `significant`: p < 0.05, enough data, and no mismatch of the sample ratio. It holds for one look at a
    size that was planned; who looks every day and stops at the first yes is wrong more often than 1 in 20.
    It corrects for nothing when several variants are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

from app.decision.experiments.chi_square import chi_square_survival

#: 1.96: the normal quantile that leaves 2.5 % on each side.
Z_95 = NormalDist().inv_cdf(0.975)
SIGNIFICANCE = 0.05
MISMATCH = 0.001
EXPECTED_MIN = 5


class Interval(msgspec.Struct, frozen=True, rename="camel"):
    """A 95 % interval."""

    low: float
    high: float


class VariantCounts(msgspec.Struct, frozen=True, rename="camel"):
    """What was counted for a variant, and its share of the customers as configured."""

    key: str
    weight: float
    exposures: int
    conversions: int


class Comparison(msgspec.Struct, frozen=True, rename="camel"):
    """A variant against control. `uplift` is the difference of the rates, `p` two-sided."""

    uplift: float | None
    relative_uplift: float | None
    z: float | None
    p: float | None
    interval: Interval | None
    significant: bool
    insufficient_data: bool


class VariantResult(msgspec.Struct, frozen=True, rename="camel"):
    """A variant's figures; `against_control` is null for control itself."""

    key: str
    exposures: int
    conversions: int
    rate: float | None
    interval: Interval | None
    against_control: Comparison | None


class ExperimentResult(msgspec.Struct, frozen=True, rename="camel"):
    """An experiment's figures; `sample_ratio_p` is null when it cannot be computed."""

    control: str
    variants: tuple[VariantResult, ...]
    sample_ratio_p: float | None
    sample_ratio_mismatch: bool


def results(variants: Sequence[VariantCounts], control: str) -> ExperimentResult:
    """The figures of an experiment, in the order of its variants.

    Args:
        variants: Counts by variant.
        control: The key of the control variant; when none has it, nothing is compared.
    """
    ratio_p = sample_ratio(variants)
    mismatch = ratio_p is not None and ratio_p < MISMATCH
    against = next((variant for variant in variants if variant.key == control), None)
    shown = []
    for variant in variants:
        n, x = _counts(variant)
        compared = None if against is None or against is variant else compare(variant, against, mismatch)
        shown.append(VariantResult(variant.key, n, x, x / n if n else None, wilson(x, n), compared))
    return ExperimentResult(control, tuple(shown), ratio_p, mismatch)


def wilson(conversions: int, exposures: int) -> Interval | None:
    """The 95 % interval of a rate, within 0–1; None without exposures."""
    if exposures <= 0:
        return None
    n, rate, z2 = exposures, conversions / exposures, Z_95 * Z_95
    middle = rate + z2 / (2 * n)
    half = Z_95 * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    # At 0 and 1 the bound is the rate itself; rounding must not say otherwise.
    return Interval(0.0 if conversions == 0 else max(0.0, low), 1.0 if conversions == n else min(1.0, high))


def newcombe(x1: int, n1: int, x2: int, n2: int) -> Interval | None:
    """The 95 % interval of x1/n1 − x2/n2, within −1–1; None without exposures on either side."""
    first, second = wilson(x1, n1), wilson(x2, n2)
    if first is None or second is None:
        return None
    p1, p2 = x1 / n1, x2 / n2
    below = math.hypot(p1 - first.low, second.high - p2)
    above = math.hypot(first.high - p1, p2 - second.low)
    return Interval(max(-1.0, p1 - p2 - below), min(1.0, p1 - p2 + above))


def compare(variant: VariantCounts, control: VariantCounts, mismatch: bool = False) -> Comparison:
    """The variant against control; never significant when the sample ratio is a mismatch."""
    (n1, x1), (n2, x2) = _counts(variant), _counts(control)
    if not n1 or not n2:
        return Comparison(None, None, None, None, None, significant=False, insufficient_data=True)
    rate, base = x1 / n1, x2 / n2
    pooled = (x1 + x2) / (n1 + n2)
    enough = min(n1, n2) * min(pooled, 1 - pooled) >= EXPECTED_MIN
    error = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    z = (rate - base) / error if error > 0 else None
    p = None if z is None else math.erfc(abs(z) / math.sqrt(2))
    return Comparison(
        uplift=rate - base,
        relative_uplift=(rate - base) / base if base > 0 else None,
        z=z,
        p=p,
        interval=newcombe(x1, n1, x2, n2),
        significant=p is not None and p < SIGNIFICANCE and enough and not mismatch,
        insufficient_data=not enough,
    )


def sample_ratio(variants: Sequence[VariantCounts]) -> float | None:
    """The probability of exposures as far from the weights as these, in 0–1; None when it cannot be told."""
    weights = math.fsum(max(0.0, variant.weight) for variant in variants)
    total = sum(max(0, variant.exposures) for variant in variants)
    if weights <= 0 or total <= 0:
        return None
    if any(variant.weight <= 0 < variant.exposures for variant in variants):
        return 0.0  # exposures that no weight can explain
    weighted = [variant for variant in variants if variant.weight > 0]
    expected = [total * variant.weight / weights for variant in weighted]
    if len(weighted) < 2 or min(expected) < EXPECTED_MIN:
        return None
    pairs = zip(weighted, expected, strict=True)
    statistic = math.fsum((variant.exposures - share) ** 2 / share for variant, share in pairs)
    return chi_square_survival(statistic, len(weighted) - 1)


def _counts(variant: VariantCounts) -> tuple[int, int]:
    """Exposures and conversions, neither below 0, the conversions not above the exposures."""
    exposures = max(0, variant.exposures)
    return exposures, min(exposures, max(0, variant.conversions))
