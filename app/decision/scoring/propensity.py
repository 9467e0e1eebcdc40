"""Methods that score by propensity.

Rules of this module:

1.  `propensity` = P × fit.
2.  `formula` = P^wp · R^wr · I^wi · E^we, a weighted geometric mean: propensity, relevance = fit, impact =
    businessValue/100, emphasis = weight/100. A zero factor gives zero, unless its exponent is zero.
3.  Both grow with P, so a strategy that explores can weigh offers by P and one factor of the rest: see
    `factor`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from app.decision.candidate import Candidate
from app.decision.entities import Exponents
from app.decision.learning.propensity import Estimate
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.estimates import Estimator
from app.decision.scoring.scored import Scored


class PropensityTimesFit:
    """The method `propensity`."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, in 0–1."""
        estimates = self.estimator.estimates(candidates, context)
        return [
            Scored(one, fit, (estimate := estimates[one.offer.id]).value * fit, estimate)
            for one, fit in zip(candidates, fits, strict=True)
        ]

    def factor(self, scored: Scored) -> float:
        """The part of the score that is not propensity."""
        return scored.fit

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        return {
            "method": "propensity",
            **explained_estimate(scored.estimate),
            "fit": scored.fit,
            "finalScore": scored.score,
        }


class GeometricMean:
    """The method `formula`."""

    def __init__(self, estimator: Estimator, exponents: Exponents) -> None:
        self.estimator = estimator
        self._exponents = exponents

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, in 0–1."""
        estimates = self.estimator.estimates(candidates, context)
        return [
            Scored(one, fit, self._mean(one, fit, estimate.value), estimate)
            for one, fit in zip(candidates, fits, strict=True)
            for estimate in (estimates[one.offer.id],)
        ]

    def _mean(self, candidate: Candidate, fit: float, propensity: float) -> float:
        return float(propensity**self._exponents.p) * self._rest(candidate, fit)

    def _rest(self, candidate: Candidate, fit: float) -> float:
        by, offer = self._exponents, candidate.offer
        return float(fit**by.r * (offer.business_value / 100) ** by.i * (offer.weight / 100) ** by.e)

    def factor(self, scored: Scored) -> float:
        """What propensity is multiplied by so that the products order candidates as their scores do."""
        return float(self._rest(scored.candidate, scored.fit) ** (1.0 / self._exponents.p))

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        offer = scored.candidate.offer
        return {
            "method": "formula",
            **explained_estimate(scored.estimate),
            "relevance": scored.fit,
            "impact": offer.business_value / 100,
            "emphasis": offer.weight / 100,
            "weights": msgspec.to_builtins(self._exponents),
            "finalScore": scored.score,
        }


def explained_estimate(estimate: Estimate | None) -> dict[str, Any]:
    """A propensity, and whose evidence it is, as answers and traces show them."""
    if estimate is None:
        return {}
    return {
        "propensity": estimate.value,
        "propensitySource": estimate.source,
        "impressions": estimate.impressions,
    }
