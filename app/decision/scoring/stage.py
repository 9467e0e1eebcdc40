"""The score stage: every kept candidate gets its score, and they are put in order."""

from __future__ import annotations

from typing import Any

from app.decision.flow import CompiledFlow, order_key
from app.decision.ordering import Ordering
from app.decision.qualification import Verdicts
from app.decision.ranking import Ranked
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.priority import PriorityWeighted
from app.decision.scoring.scorer import Method, Scorer
from app.decision.scoring.without_score import AsListed, ByPriority
from app.decision.shelf import Shelf


def method_of(ordering: Ordering, scorer: Scorer, context: ScoringContext) -> Method:
    """How a request's candidates are scored: as its ordering says."""
    if ordering is Ordering.SCORE:
        return scorer.method_for(context)
    return _BY_PRIORITY if ordering is Ordering.PRIORITY else _AS_LISTED


def score(
    shelf: Shelf, flow: CompiledFlow, method: Method, verdicts: Verdicts | None, context: ScoringContext
) -> None:
    """Score a shelf's candidates and put them in the order of rank.

    Args:
        shelf: Its kept candidates stand in the order of their pool.
        flow: Whose order it is.
        method: The flow's, its variant's, or what stands in for it.
        verdicts: Which fit rules candidates fail; None when rules were not looked at, as in a fallback.
        context: What the request knows.
    """
    if verdicts is None or verdicts.all_fit:
        fits = [1.0] * len(shelf.kept)
        # Their pool has them in the order of these scores already.
        sorted_already = isinstance(method, PriorityWeighted | AsListed)
    else:
        fits = list(map(verdicts.fit, shelf.kept))
        sorted_already = isinstance(method, AsListed)
    shelf.scored = method.score(shelf.kept, fits, context)
    if not sorted_already:
        shelf.scored.sort(key=lambda one: order_key(flow, one.candidate, one.score))


def explained(method: Method, ranked: Ranked) -> dict[str, Any]:
    """What a chosen candidate's score was made of, and its selection probability where chance had a part."""
    explanation = method.explain(ranked.scored)
    if ranked.explored:
        explanation["selectionProbability"] = ranked.probability
        if ranked.draws is not None:
            explanation["selectionDraws"] = ranked.draws
    return explanation


_BY_PRIORITY, _AS_LISTED = ByPriority(), AsListed()
