"""`priority_weighted`: what the operator says, times fit.

Rules of this module:

1.  priority/100 × weight/100 × fit, of the offer. A creative's weight is no part of it: it only decides
    between creatives of one offer that score the same.
2.  The score before fit depends on the offer alone, so candidates are kept in its order.
"""

from __future__ import annotations

from typing import Any

from app.decision.candidate import Candidate
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.scored import Scored


class PriorityWeighted:
    """See the module."""

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, in 0–1."""
        return [Scored(one, fit, one.base * fit) for one, fit in zip(candidates, fits, strict=True)]

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""
        offer = scored.candidate.offer
        return {
            "method": "priority_weighted",
            "priority": offer.priority,
            "weight": offer.weight,
            "fit": scored.fit,
            "finalScore": scored.score,
        }
