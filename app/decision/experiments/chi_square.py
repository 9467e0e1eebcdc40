"""The chi-square distribution's tail.

Rules of this module:

1.  P(X > x) with k degrees of freedom is Q(k/2, x/2), the regularised upper incomplete gamma function (NIST
    Digital Library of Mathematical Functions, 8.2.4).
2.  For x < a + 1 it is 1 − P by the series DLMF 8.11.4, else Q by the continued fraction DLMF 8.9.2,
    evaluated with Lentz's method as Thompson and Barnett modified it (1986). Each converges fast on its
    side.
"""

from __future__ import annotations

import math

_TOLERANCE = 1e-15
_TERMS_MAX = 10_000
_TINY = 1e-300


def chi_square_survival(statistic: float, degrees: int) -> float:
    """The probability of a statistic at least this large, in 0–1.

    Args:
        statistic: At least 0.
        degrees: Degrees of freedom, at least 1.

    Raises:
        ValueError: one of them is smaller.
    """
    if not statistic >= 0 or degrees < 1:
        raise ValueError("the statistic must be at least 0 and the degrees of freedom at least 1")
    a, x = degrees / 2, statistic / 2
    if x == 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    log_scale = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1:
        return max(0.0, 1.0 - _series(a, x) * math.exp(log_scale))
    return min(1.0, _fraction(a, x) * math.exp(log_scale))


def _series(a: float, x: float) -> float:
    """The sum of x^n / (a (a+1) … (a+n)) over n from 0."""
    term = total = 1.0 / a
    for n in range(1, _TERMS_MAX):
        term *= x / (a + n)
        total += term
        if term < total * _TOLERANCE:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """1 / (x + 1 − a − 1·(1 − a) / (x + 3 − a − 2·(2 − a) / (x + 5 − a − …)))."""
    b = x + 1.0 - a
    c = 1.0 / _TINY
    d = value = 1.0 / b
    for n in range(1, _TERMS_MAX):
        numerator = -n * (n - a)
        b += 2.0
        d = 1.0 / _not_zero(numerator * d + b)
        c = _not_zero(b + numerator / c)
        factor = c * d
        value *= factor
        if abs(factor - 1.0) < _TOLERANCE:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
