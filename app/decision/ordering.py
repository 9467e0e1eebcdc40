"""By what candidates are put in order: by score, by priority alone, or as the flow lists them.

Rules of this module:

1.  A customer in the tenant's holdout is decided by offer priority alone: no method, no model, no fit, no
    floor. Qualification, consent, contact policies, filters and the ranking options hold all the same, so
    the control group differs from the others in the order only.
2.  A flow that fell back takes its fallback offers in the order in which it lists them, with score 0: nothing
    was scored. Qualification rules, filters and the floor do not hold; exclusions, schedules, consent,
    contact policies, budgets and the ranking options do, mandatory offers first excepted.
3.  A flow without fallback offers does not fall back, whatever it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from app.decision.flow import CompiledFlow, order_key
from app.decision.qualification import Verdicts
from app.decision.ranking import score
from app.decision.scoring import explained
from app.decision.shared import Shared
from app.decision.shelf import Scored, Shelf


class Ordering(Enum):
    """By what candidates are put in order."""

    SCORE = 1
    PRIORITY = 2
    LISTED = 3


def ordering_of(flow: CompiledFlow, held_out: bool, shared: Shared) -> Ordering:
    """By what this flow orders candidates now, for a customer who is in the holdout or not."""
    if shared.fallback and flow.falls_back:
        return Ordering.LISTED
    return Ordering.PRIORITY if held_out else Ordering.SCORE


def put_in_order(shelf: Shelf, flow: CompiledFlow, verdicts: Verdicts | None, ordering: Ordering) -> None:
    """Give a shelf's candidates their scores and put them in order, best first.

    Args:
        shelf: Its kept candidates stand in their pool's order.
        flow: Whose method counts.
        verdicts: The fit rules that fail; None when rules were not looked at, as in a fallback.
        ordering: By what they are put in order.
    """
    if ordering is Ordering.LISTED or verdicts is None:
        shelf.scored = [Scored(one, 1.0, 0.0) for one in shelf.kept]
    elif ordering is Ordering.SCORE:
        score(shelf, flow, verdicts)
    else:
        scored = [Scored(one, 1.0, one.offer.priority / 100) for one in shelf.kept]
        shelf.scored = sorted(scored, key=lambda one: order_key(flow, one.candidate, one.score))


def explain(scored: Scored, ordering: Ordering) -> dict[str, Any]:
    """What a score was made of, as the answer shows it."""
    return _EXPLAINED[ordering](scored)


_EXPLAINED: Mapping[Ordering, Callable[[Scored], dict[str, Any]]] = {
    Ordering.SCORE: lambda scored: explained(scored.candidate.offer, scored.fit, scored.score),
    Ordering.PRIORITY: lambda scored: {
        "method": "priority",
        "priority": scored.candidate.offer.priority,
        "finalScore": scored.score,
    },
    Ordering.LISTED: lambda scored: {"method": "fallback", "finalScore": scored.score},
}
