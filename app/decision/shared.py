"""What is known across customers, as a decision reads it: evidence, budgets, models that are bypassed.

Rules of this module:

1.  It is a snapshot of sums over all partitions, at most about a second old; a decision treats it as a value.
2.  Keys are text: `offer/<id>`, `category/<id>` and `tenant` for propensity, `variant/<experiment>/<variant>`
    for experiments, `offer/<id>` and `creative/<id>` for budgets.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from app.decision.learning.evidence import NOTHING, Tally


class Evidence(Protocol):
    """Sums over all customers of one tenant."""

    def tally(self, key: str, /) -> Tally:
        """The evidence for a key; nothing for one that nobody has heard of."""

    def weights(self, model_key: str, /) -> bytes | None:
        """What a model that learns has learnt, by its key; the same object until it learns more."""


class Budgets(Protocol):
    """What this partition may still spend of the budgets it shares with the others."""

    def room(self, key: str, /) -> int:
        """Deliveries that may still be made now for `offer/<id>` or `creative/<id>`; 0 without a lease."""


class _NoEvidence:
    def tally(self, key: str, /) -> Tally:
        return NOTHING

    def weights(self, model_key: str, /) -> bytes | None:
        return None


class _NoBudgets:
    def room(self, key: str, /) -> int:
        return 0


NO_BUDGETS: Budgets = _NoBudgets()


class Shared(msgspec.Struct, frozen=True):
    """What one decision knows beyond its customer.

    `bypassed` are the ids of the models whose breaker is open; with `fallback` the flow answers with its
    fallback offers, because it overran its latency budget.
    """

    evidence: Evidence = _NoEvidence()
    budgets: Budgets = NO_BUDGETS
    bypassed: frozenset[str] = frozenset()
    fallback: bool = False


NOTHING_SHARED = Shared()
