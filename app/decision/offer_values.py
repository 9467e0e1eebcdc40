"""What formulas and templates read about an offer, for one request.

Rules of this module:

1.  An offer's computed values are worked out at most once a request, when the first stage asks for them;
    stages that never ask pay nothing.
2.  In an offer's environment `offer.*` are its plain and computed fields, `personalization.*` its computed
    ones alone. Bare names of formulas are read from `offer`.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.decision.conditions import Environment
from app.decision.flow import Candidate
from app.decision.formula import Value


class OfferValues:
    """The offers' values for one customer and request."""

    __slots__ = ("_computed", "_environment", "_environments")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._computed: dict[str, dict[str, Value]] = {}
        self._environments: dict[str, Environment] = {}

    def computed(self, candidate: Candidate) -> dict[str, Value]:
        """The computed values of a candidate's offer by name; empty where it has no computed field."""
        computing = candidate.computing
        if computing is None:
            return {}
        found = self._computed.get(candidate.offer.id)
        if found is None:
            found = computing.values(self._environment, candidate.offer_fields)
            self._computed[candidate.offer.id] = found
        return found

    def environment(self, candidate: Candidate) -> Environment:
        """The request's environment with what is known about a candidate's offer."""
        found = self._environments.get(candidate.offer.id)
        if found is None:
            computed = self.computed(candidate)
            plain = candidate.offer_fields
            fields = {**plain, **computed} if computed else plain
            found = {**self._environment, "offer": fields, "personalization": computed}
            self._environments[candidate.offer.id] = found
        return found

    def all_computed(self, candidates: Iterable[Candidate]) -> dict[str, dict[str, Value]]:
        """The computed values of every offer that has some, by offer id, for a trace."""
        return {one.offer.id: self.computed(one) for one in candidates if one.computing is not None}
