"""`expression`: any formula.

Rules of this module:

1.  A formula reads what computed fields read, and `score.propensity`, `score.fit`, `score.priority`,
    `score.weight` and `score.businessValue` of its candidate.
2.  Its value is the score as it is, not cut to 0–1: the author decides its scale. What is no number is 0,
    and the decision says that its scoring is degraded.
"""

from __future__ import annotations

from typing import Any

from app.decision.candidate import Candidate
from app.decision.formula import Formula
from app.decision.learning.propensity import Estimate
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.estimates import Estimator
from app.decision.scoring.propensity import explained_estimate
from app.decision.scoring.scored import Scored

#: The namespace of a candidate's own factors.
NAMESPACE = "score"
PROPENSITY = f"{NAMESPACE}.propensity"
_OFFERS_OWN = ("fit", "priority", "weight", "businessValue")
FIELDS = frozenset({PROPENSITY, *(f"{NAMESPACE}.{name}" for name in _OFFERS_OWN)})


class Expression:
    """See the module."""

    def __init__(self, formula: Formula, text: str, estimator: Estimator) -> None:
        self.estimator = estimator
        self._formula = formula
        self._text = text
        self._estimated = PROPENSITY in formula.fields

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, of any size."""
        estimates = self.estimator.estimates(candidates, context) if self._estimated else {}
        return [
            self._scored(one, fit, estimates.get(one.offer.id), context)
            for one, fit in zip(candidates, fits, strict=True)
        ]

    def _scored(
        self, candidate: Candidate, fit: float, estimate: Estimate | None, context: ScoringContext
    ) -> Scored:
        offer = candidate.offer
        own = {
            "fit": fit,
            "priority": offer.priority,
            "weight": offer.weight,
            "businessValue": offer.business_value,
            "propensity": None if estimate is None else estimate.value,
        }
        value = self._formula.evaluate({**context.environment_of(candidate), NAMESPACE: own})
        if isinstance(value, bool) or not isinstance(value, int | float):
            context.degraded = True
            return Scored(candidate, fit, 0.0, estimate)
        return Scored(candidate, fit, float(value), estimate)

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        return {
            "method": "expression",
            "expression": self._text,
            **explained_estimate(scored.estimate),
            "fit": scored.fit,
            "finalScore": scored.score,
        }
