"""The score stage: every kept candidate gets its score, and they are put in order."""

from __future__ import annotations

from typing import Any

from app.decision.failures import Failures
from app.decision.flow import CompiledFlow, order_key
from app.decision.ranking import Ranked
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.priority import PriorityWeighted
from app.decision.scoring.scored import Scored
from app.decision.scoring.scorer import Method
from app.decision.shelf import Shelf


def score(
    shelf: Shelf, flow: CompiledFlow, method: Method, failures: Failures, context: ScoringContext
) -> None:
    """Score a shelf's candidates and put them in the order of rank.

    Args:
        shelf: Whose kept candidates are scored.
        flow: Whose order it is.
        method: The flow's, its variant's, or what stands in for it.
        failures: Which fit rules candidates fail.
        context: What the request knows.
    """
    all_fit = not failures.fit and not failures.fit_by_offer
    if all_fit and isinstance(method, PriorityWeighted):
        # They stand in the order of these scores already.
        shelf.scored = [Scored(candidate, 1.0, candidate.base) for candidate in shelf.kept]
        return
    fits = [1.0] * len(shelf.kept) if all_fit else _fits(shelf, flow, failures)
    shelf.scored = method.score(shelf.kept, fits, context)
    shelf.scored.sort(key=lambda one: order_key(flow, one.candidate, one.score))


def _fits(shelf: Shelf, flow: CompiledFlow, failures: Failures) -> list[float]:
    """The fit of each kept candidate; worked out once for each set of rules failed."""
    by_mask: dict[int, float] = {}
    fits = []
    for candidate in shelf.kept:
        mask = failures.fit_of(candidate)
        fit = by_mask.get(mask)
        if fit is None:
            fit = by_mask[mask] = flow.rules.fit(mask)
        fits.append(fit)
    return fits


def explained(method: Method, ranked: Ranked) -> dict[str, Any]:
    """What a chosen candidate's score was made of, and its selection probability where chance had a part."""
    explanation = method.explain(ranked.scored)
    if ranked.explored:
        explanation["selectionProbability"] = ranked.probability
        if ranked.draws is not None:
            explanation["selectionDraws"] = ranked.draws
    return explanation
