"""The score of a flow whose model is bypassed: 0.5 × weight/100 × fit."""

from __future__ import annotations

from typing import Any

from app.decision.candidate import Candidate
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.scored import Scored


class Bypassed:
    """What stands in for a method whose model's breaker is open."""

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, in 0–0.5."""
        context.degraded = True
        return [
            Scored(one, fit, 0.5 * (one.offer.weight / 100) * fit)
            for one, fit in zip(candidates, fits, strict=True)
        ]

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        return {
            "method": "bypassed",
            "weight": scored.candidate.offer.weight,
            "fit": scored.fit,
            "finalScore": scored.score,
        }
