"""What one customer's contact policies block, before and while candidates are taken.

Rules of this module:

1.  It is made once a request and carried through both passes, so that they cannot disagree.
2.  `blocked` holds exactly the bits that block whatever the candidate. Where that is all (`plain`), a
    candidate's check is one AND; else `removing` adds what depends on the candidate.
3.  Within one decision each candidate taken uses up room, also one that an override let through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.decision.policies.budgets import BudgetExhausted, BudgetRooms
from app.decision.policies.caps import Cap
from app.decision.policies.claims import Claim
from app.decision.policies.history import History
from app.decision.policies.relation_counts import RelationState
from app.decision.policies.relations import CategorySuppression, Exclusion, OfferCap
from app.decision.policies.rules import Moment, StateRule
from app.decision.policies.suppressions import OutcomeBased
from app.decision.state import Suppression

if TYPE_CHECKING:
    from app.decision.policies.board import PolicyBoard


class Assessment:
    """What one customer's contacts, state and moment, and the candidates taken so far, block."""

    __slots__ = (
        "_board", "_histories", "_moment", "_room", "active", "blocked", "lifting", "plain",
        "relations", "rooms", "suppressed",
    )  # fmt: skip

    def __init__(self, board: PolicyBoard, moment: Moment, rooms: BudgetRooms) -> None:
        self._board = board
        self._moment = moment
        self._room: list[int] = []
        self._histories: dict[int, History] = {}
        #: The entries that hold for this customer at all: the others stand in segments of others.
        self.active = -1
        self.blocked = 0
        #: The overrides that hold.
        self.lifting = 0
        self.relations: RelationState | None = None
        self.rooms = rooms
        #: The suppression that holds longest, by bit.
        self.suppressed: dict[int, Suppression] = {}
        self.plain = True

    def count(self, room: list[int], histories: dict[int, History], blocked: int) -> None:
        """Take over what the caps counted."""
        self._room = room
        self._histories = histories
        self.blocked |= blocked

    def removing(self, claim: Claim) -> int:
        """The entries that remove a candidate now, as a mask: 0 when it may be taken."""
        blocked = self.blocked
        if self.relations is not None:
            blocked |= self.relations.against(claim)
        if claim.budgets and self.rooms.used_up(claim.budgets) is not None:
            blocked |= self._board.budget_bits
        hit = claim.mask & blocked & self.active
        if hit and claim.mask & self.lifting:
            hit &= self._board.lasting
        return hit

    def take(self, claim: Claim) -> None:
        """Count a candidate taken into this decision against everything that it uses up."""
        room = self._room
        for bit in claim.uses:
            room[bit] -= 1
            if room[bit] <= 0:
                self.blocked |= 1 << bit & self.active
        if self.relations is not None:
            self.relations.take(claim)
        if claim.budgets:
            self.rooms.take(claim.budgets)

    def numbers(self, bit: int, claim: Claim) -> dict[str, Any]:
        """What the entry compares at this moment, with the candidates taken so far."""
        rule = self._board.entries[bit].rule
        if isinstance(rule, Cap):
            return self._board.caps.numbers(bit, self._room, self._histories, self._moment.clock)
        if isinstance(rule, StateRule):
            return rule.numbers(self._moment)
        if isinstance(rule, OutcomeBased):
            found = self.suppressed[bit]
            return {"outcome": found.outcome, "fromMs": found.from_ms, "untilMs": found.until_ms}
        if isinstance(rule, BudgetExhausted):
            return dict(self.rooms.numbers(claim.budgets))
        if self.relations is not None and isinstance(rule, OfferCap | CategorySuppression | Exclusion):
            return self.relations.numbers(rule, claim)
        return {}
