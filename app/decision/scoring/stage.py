"""The score stage: every kept candidate gets its score, and they are put in order."""

from __future__ import annotations

from collections.abc import Callable

from app.decision.candidate import Candidate
from app.decision.flow import CompiledFlow, order_key
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.scorer import Scorer
from app.decision.shelf import Scored, Shelf


def score(
    shelf: Shelf,
    flow: CompiledFlow,
    scorer: Scorer,
    fit_of: Callable[[Candidate], float] | None,
    context: ScoringContext,
) -> None:
    """Score a shelf's candidates and put them in the order of rank.

    Args:
        shelf: Whose kept candidates are scored.
        flow: Whose order it is.
        scorer: The flow's, or its variant's.
        fit_of: The fit (0–1) of a candidate; None when nobody fails a fit rule.
        context: What the request knows.
    """
    if fit_of is None and scorer.presorted:
        shelf.scored = [Scored(candidate, 1.0, candidate.base) for candidate in shelf.kept]
        return
    fits = [1.0] * len(shelf.kept) if fit_of is None else list(map(fit_of, shelf.kept))
    shelf.scored = scorer.method_for(context).score(shelf.kept, fits, context)
    shelf.scored.sort(key=lambda one: order_key(flow, one.candidate, one.score))
