"""The rank stage: in which order, and how many.

Rules of this module:

1.  The order is that of `flow.order_key`: the same input gives the same order.
2.  Shelves are filled in the request's order, each to its limit; `rank` runs through the whole answer.
3.  A candidate is passed over when its score is under the floor (mandatory offers have none), its offer is
    taken already, its category has had its share, its placement is full, or the candidates taken leave its
    contact policies no room. The next one moves up. A placement that the request names is bounded by its
    shelf's limit as well.
4.  Candidates taken use up room whatever their channel reports, so that an answer never holds more than the
    policies allow together.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from app.decision.candidate import Candidate
from app.decision.decision import DecisionRequest
from app.decision.flow import CompiledFlow
from app.decision.policies import Assessment
from app.decision.reasons import (
    FLOOR,
    LIMIT,
    MAX_PER_CATEGORY,
    MAX_SLOTS,
    REPEATED,
    SAME_OFFER,
    Reason,
    lowest_bit,
)
from app.decision.scoring.exploring import Choice, Explorer
from app.decision.scoring.scored import Scored
from app.decision.shelf import Removal, Shelf


class Ranked(msgspec.Struct, frozen=True, gc=False):
    """A candidate chosen, with its rank (1-based) in the whole answer, and its selection probability.

    `draws` is how many draws the probability was estimated from, None when it is exact.
    """

    rank: int
    scored: Scored
    probability: float = 1.0
    draws: int | None = None
    #: Whether a strategy chose it.
    explored: bool = False


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
        self,
        flow: CompiledFlow,
        request: DecisionRequest,
        assessment: Assessment,
        floor: float,
        explorer: Explorer | None,
    ) -> None:
        self._flow = flow
        self._explorer = explorer
        self._assessment = assessment
        self._deduplicate = request.deduplicate
        self._traced = request.trace
        self._settings = flow.definition.ranking
        self._floor = floor
        self._offers_before: set[str] = set()
        self._offers_here: set[str] = set()
        self._by_category: Counter[str] = Counter()
        #: Only of placements that have a bound.
        self._by_placement: Counter[str | None] = Counter()
        self.ranked: list[Ranked] = []

    def fill(self, shelf: Shelf) -> list[Ranked]:
        """Take a shelf's best candidates up to its limit, and say why others were passed over."""
        self._offers_before |= self._offers_here
        self._offers_here = set()
        return self._walk(shelf) if self._explorer is None else self._explore(shelf, self._explorer)

    def _walk(self, shelf: Shelf) -> list[Ranked]:
        """Down the order of scores."""
        taken: list[Ranked] = []
        for place, scored in enumerate(shelf.scored):
            if len(taken) == shelf.limit:
                if self._traced:
                    beyond = [Removal(one.candidate, LIMIT, {}) for one in shelf.scored[place:]]
                    shelf.removed.extend(beyond)
                break
            removal = self._passed_over(scored)
            if removal is None:
                taken.append(self._take(Choice(scored)))
            else:
                shelf.removed.append(removal)
        return taken

    def _explore(self, shelf: Shelf, explorer: Explorer) -> list[Ranked]:
        """Rank by rank, by the strategy's choice among those that may take it."""
        taken: list[Ranked] = []
        left = shelf.scored
        while len(taken) < shelf.limit and (left := self._eligible(shelf, left)):
            choice = explorer.choose(left, len(self.ranked) + 1, self._settings.mandatory_first)
            taken.append(self._take(choice))
            left = [one for one in left if one is not choice.scored]
        if self._traced:
            shelf.removed.extend(Removal(one.candidate, LIMIT, {}) for one in left)
        return taken

    def _eligible(self, shelf: Shelf, scored: list[Scored]) -> list[Scored]:
        """Those that may be taken now. Who may not never may again: what is taken only grows."""
        kept = []
        for one in scored:
            removal = self._passed_over(one)
            if removal is None:
                kept.append(one)
            else:
                shelf.removed.append(removal)
        return kept

    def _take(self, choice: Choice) -> Ranked:
        candidate = choice.scored.candidate
        self._offers_here.add(candidate.offer.id)
        self._by_category[candidate.offer.category_id] += 1
        if candidate.max_slots is not None:
            self._by_placement[candidate.standing.placement_id] += 1
        self._assessment.take(candidate.claim)
        ranked = Ranked(
            len(self.ranked) + 1, choice.scored, choice.probability, choice.draws, choice.explored
        )
        self.ranked.append(ranked)
        return ranked

    def _passed_over(self, scored: Scored) -> Removal | None:
        """Why a candidate cannot be taken now; None when it can."""
        candidate = scored.candidate
        if 0.0 < self._floor > scored.score and not candidate.offer.mandatory:
            return Removal(candidate, FLOOR, {"score": scored.score, "floor": self._floor})
        repeated = self._repeated(candidate)
        if repeated is not None:
            return Removal(candidate, repeated, {})
        most = self._settings.max_per_category
        if most is not None and self._by_category[candidate.offer.category_id] >= most:
            return Removal(candidate, MAX_PER_CATEGORY, {"count": most, "max": most})
        slots, placement_id = candidate.max_slots, candidate.standing.placement_id
        if slots is not None and self._by_placement[placement_id] >= slots:
            return Removal(candidate, MAX_SLOTS, {"placementId": placement_id, "max": slots})
        assessment = self._assessment
        hit = (
            candidate.policies & assessment.blocked
            if assessment.plain
            else assessment.removing(candidate.claim)
        )
        if not hit:
            return None
        bit = lowest_bit(hit)
        numbers = assessment.numbers(bit, candidate.claim) if self._traced else {}
        return Removal(candidate, self._flow.policies.entries[bit].rank_reason, numbers)

    def _repeated(self, candidate: Candidate) -> Reason | None:
        offer_id = candidate.offer.id
        if self._settings.one_creative_per_offer and offer_id in self._offers_here:
            return SAME_OFFER
        if self._deduplicate and offer_id in self._offers_before:
            return REPEATED
        return None
