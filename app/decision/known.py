"""What one request knows, as rules and filters ask for it.

Rules of this module:

1.  Everything is worked out when something first asks for it, once a request.
2.  A customer's events are those that the state keeps: the last 50 within 30 days.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.decision.candidate import Candidate
from app.decision.conditions import Environment
from app.decision.offer_values import OfferValues
from app.decision.outcomes import canonical_event_type
from app.decision.state import RecentEvent


class Known:
    """One request's knowledge.

    Args:
        environment: The fields by namespace.
        offers: What is known about offers, computed values included.
        in_segment: Whether the customer is in the segment with an id.
        recent: The customer's events, in any order.
        propensity: The probability (0–1) that the customer responds to a candidate; asked once an offer.
        now_ms: The instant of the request, epoch ms.
    """

    __slots__ = (
        "_last", "_now_ms", "_propensities", "_propensity", "_recent", "environment", "in_segment", "offers",
    )  # fmt: skip

    def __init__(
        self,
        environment: Environment,
        offers: OfferValues,
        in_segment: Callable[[str], bool],
        recent: Sequence[RecentEvent],
        propensity: Callable[[Candidate], float],
        now_ms: int,
    ) -> None:
        self.environment = environment
        self.offers = offers
        self.in_segment = in_segment
        self._recent = recent
        self._propensity = propensity
        self._now_ms = now_ms
        self._last: dict[str, int] | None = None
        self._propensities: dict[str, float] = {}

    def environment_of(self, candidate: Candidate) -> Environment:
        """The environment with what is known about a candidate's offer; the same for all of an offer."""
        return self.offers.environment(candidate)

    def with_creative(self, candidate: Candidate) -> Environment:
        """The environment with a candidate's `offer` and `creative` in it."""
        return {**self.offers.environment(candidate), "creative": candidate.creative_fields}

    def propensity_of(self, candidate: Candidate) -> float:
        """The probability (0–1) that the customer responds to the candidate's offer."""
        offer_id = candidate.offer.id
        known = self._propensities.get(offer_id)
        if known is None:
            known = self._propensities[offer_id] = self._propensity(candidate)
        return known

    def age_ms(self, event_type: str) -> int | None:
        """How long ago the customer's last event of a type was; None without one, negative for one ahead."""
        if self._last is None:
            self._last = {}
            for event in self._recent:
                name = canonical_event_type(event.type)
                self._last[name] = max(event.at_ms, self._last.get(name, event.at_ms))
        at_ms = self._last.get(event_type)
        return None if at_ms is None else self._now_ms - at_ms
