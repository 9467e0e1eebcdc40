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

from enum import Enum

from app.decision.flow import CompiledFlow
from app.decision.shared import Shared


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
