"""Which qualification rules a request's candidates fail, as masks of the flow's `RuleBoard`.

Rules of this module:

1.  A rule that reads the customer and the request alone is evaluated once; its bit is in a mask that holds
    for all candidates.
2.  A rule that reads the offer is evaluated at most once for each offer in its scope; candidates of one
    offer share what was found. Where no rule does, a candidate costs one AND.
"""

from __future__ import annotations

from typing import Any

from app.decision.conditions import Environment
from app.decision.flow import Candidate
from app.decision.offer_values import OfferValues
from app.decision.qualification import RuleBoard


class Failures:
    """The rules failed in one request: `hard` and `fit` are those that fail whatever the offer."""

    __slots__ = ("_board", "_by_offer", "_environment", "_offers", "fit", "hard")

    def __init__(self, board: RuleBoard, environment: Environment, offers: OfferValues) -> None:
        self._board = board
        self._environment = environment
        self._offers = offers
        #: By offer id: the rules evaluated for it, and those of them that failed.
        self._by_offer: dict[str, tuple[int, int]] = {}
        self.hard, self.fit = board.failed(environment)

    @property
    def hard_by_offer(self) -> int:
        """The hard rules that read the offer."""
        return self._board.hard_by_offer

    @property
    def fit_by_offer(self) -> int:
        """The fit rules that read the offer."""
        return self._board.fit_by_offer

    def hard_of(self, candidate: Candidate) -> int:
        """The hard rules that a candidate fails."""
        return candidate.rules & self.hard | self._of_offer(candidate, candidate.rules & self.hard_by_offer)

    def fit_of(self, candidate: Candidate) -> int:
        """The fit rules that a candidate fails."""
        return candidate.rules & self.fit | self._of_offer(candidate, candidate.rules & self.fit_by_offer)

    def numbers(self, candidate: Candidate, bit: int) -> dict[str, Any]:
        """What a rule compared for a candidate."""
        rule = self._board.rules[bit]
        return rule.numbers(self._offers.environment(candidate) if rule.by_offer else self._environment)

    def _of_offer(self, candidate: Candidate, wanted: int) -> int:
        """Which of these rules the candidate's offer fails."""
        if not wanted:
            return 0
        done, failed = self._by_offer.get(candidate.offer.id, (0, 0))
        missing = wanted & ~done
        if missing:
            failed |= self._board.failed_by_offer(missing, self._offers.environment(candidate))
            self._by_offer[candidate.offer.id] = (done | missing, failed)
        return failed & wanted
