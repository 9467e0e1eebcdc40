"""What stands in for a method where candidates are not scored: see `ordering`."""

from __future__ import annotations

from typing import Any

from app.decision.candidate import Candidate
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.scored import Scored


class ByPriority:
    """For the holdout: the offer's priority alone, in 0–1."""

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores."""
        return [Scored(one, 1.0, one.offer.priority / 100) for one in candidates]

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        priority = scored.candidate.offer.priority
        return {"method": "priority", "priority": priority, "finalScore": scored.score}


class AsListed:
    """For a flow that fell back: nothing is scored, candidates stay in the order of their pool."""

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates with score 0."""
        return [Scored(one, 1.0, 0.0) for one in candidates]

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        return {"method": "fallback", "finalScore": scored.score}
