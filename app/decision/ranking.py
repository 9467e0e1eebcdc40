"""The rank stage: in which order, and how many.

Rules of this module:

1.  The order is that of `flow.order_key`: the same input gives the same order.
2.  Shelves are filled in the request's order, each to its limit; `rank` runs through the whole answer.
3.  A candidate is passed over when its score is under the floor (mandatory offers have none), its offer is
    taken already, its category has had its share, or the candidates taken leave its contact policies no
    room. The next one moves up.
4.  Candidates taken use up room whatever their channel reports, so that an answer never holds more than the
    policies allow together.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from app.decision.candidate import Candidate
from app.decision.decision import DecisionRequest
from app.decision.flow import CompiledFlow, order_key
from app.decision.policies import Assessment
from app.decision.qualification import Verdicts
from app.decision.reasons import (
    FLOOR,
    LIMIT,
    MAX_PER_CATEGORY,
    REPEATED,
    SAME_OFFER,
    Reason,
    lowest_bit,
)
from app.decision.shelf import Removal, Scored, Shelf


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A candidate chosen, with its rank (1-based) in the whole answer."""

    rank: int
    scored: Scored


def score(shelf: Shelf, flow: CompiledFlow, verdicts: Verdicts) -> None:
    """Score a shelf's candidates and put them in order."""
    if verdicts.all_fit:
        shelf.scored = [Scored(candidate, 1.0, candidate.base) for candidate in shelf.kept]
        return
    for candidate in shelf.kept:
        fit = verdicts.fit(candidate)
        shelf.scored.append(Scored(candidate, fit, candidate.base * fit))
    shelf.scored.sort(key=lambda one: order_key(flow, one.candidate, one.score))


class Ranking:
    """The walk down the scored candidates of one request.

    Invariant: at any time the candidates taken obey every contact policy together.

    Args:
        flow: Whose options they are ranked by.
        request: What was asked.
        assessment: What the contact policies leave.
        floor: The score (0–1) under which a candidate is passed over.
    """

    def __init__(
        self, flow: CompiledFlow, request: DecisionRequest, assessment: Assessment, floor: float
    ) -> None:
        self._flow = flow
        self._assessment = assessment
        self._deduplicate = request.deduplicate
        self._traced = request.trace
        self._settings = flow.definition.ranking
        self._floor = floor
        self._offers_before: set[str] = set()
        self._offers_here: set[str] = set()
        self._by_category: Counter[str] = Counter()
        self.ranked: list[Ranked] = []

    def fill(self, shelf: Shelf) -> list[Ranked]:
        """Take a shelf's best candidates up to its limit, and say why others were passed over."""
        self._offers_before |= self._offers_here
        self._offers_here = set()
        taken: list[Ranked] = []
        for place, scored in enumerate(shelf.scored):
            if len(taken) == shelf.limit:
                if self._traced:
                    beyond = [Removal(one.candidate, LIMIT, {}) for one in shelf.scored[place:]]
                    shelf.removed.extend(beyond)
                break
            removal = self._passed_over(scored)
            if removal is None:
                taken.append(self._take(scored))
            else:
                shelf.removed.append(removal)
        return taken

    def _take(self, scored: Scored) -> Ranked:
        candidate = scored.candidate
        self._offers_here.add(candidate.offer.id)
        self._by_category[candidate.offer.category_id] += 1
        self._assessment.take(candidate.uses)
        ranked = Ranked(len(self.ranked) + 1, scored)
        self.ranked.append(ranked)
        return ranked

    def _passed_over(self, scored: Scored) -> Removal | None:
        """Why a candidate cannot be taken now; None when it can."""
        candidate = scored.candidate
        if scored.score < self._floor and not candidate.offer.mandatory:
            return Removal(candidate, FLOOR, {"score": scored.score, "floor": self._floor})
        repeated = self._repeated(candidate)
        if repeated is not None:
            return Removal(candidate, repeated, {})
        most = self._settings.max_per_category
        if most is not None and self._by_category[candidate.offer.category_id] >= most:
            return Removal(candidate, MAX_PER_CATEGORY, {"count": most, "max": most})
        hit = candidate.policies & self._assessment.blocked
        if not hit:
            return None
        bit = lowest_bit(hit)
        numbers = self._assessment.numbers(bit) if self._traced else {}
        return Removal(candidate, self._flow.policies.entries[bit].rank_reason, numbers)

    def _repeated(self, candidate: Candidate) -> Reason | None:
        offer_id = candidate.offer.id
        if self._settings.one_creative_per_offer and offer_id in self._offers_here:
            return SAME_OFFER
        if self._deduplicate and offer_id in self._offers_before:
            return REPEATED
        return None
