"""Qualification rules: who may get a candidate, and who gets it less gladly.

Rules of this module:

1.  Rules are looked at in priority order (descending, then by id). The first hard rule in a candidate's
    scope that the customer fails removes it; every fit rule failed multiplies its score.
2.  A rule on the customer alone is evaluated once a request, however many candidates it concerns; one that
    asks for the offer once an offer, and only for offers that come so far.
3.  A rule with a segment scope holds for every candidate of a customer in the segment.
"""

from __future__ import annotations

from typing import Any

import msgspec

from app.decision.candidate import Candidate
from app.decision.entities import QualificationRule
from app.decision.index import EntityIndex
from app.decision.known import Known
from app.decision.problems import Problem
from app.decision.reasons import Reason, reason
from app.decision.rule_kinds import CustomerTest, OfferTest, Resolve, compile_test
from app.decision.scopes import ScopeMasks, Standing, resolve_scopes


class CompiledRule(msgspec.Struct, frozen=True):
    """A qualification rule ready to evaluate, with what its explanation shows."""

    reason: Reason
    kind: str
    hard: bool
    multiplier: float
    test: CustomerTest | OfferTest

    def numbers(self, known: Known, candidate: Candidate) -> dict[str, Any]:
        """What was compared."""
        if isinstance(self.test, CustomerTest):
            return self.test.numbers(known)
        return self.test.numbers(known, candidate)


def _as_it_is(kind: str, reference: str) -> str | None:
    return reference


def compile_rule(
    rule: QualificationRule, path: str = "config", resolve: Resolve = _as_it_is
) -> CompiledRule | list[Problem]:
    """The rule ready to evaluate, or what is wrong with its config.

    Args:
        rule: The rule, of any status.
        path: Where its config stands.
        resolve: Finds ids; without it references are taken for ids.
    """
    test = compile_test(rule.kind, rule.config, path, resolve)
    if isinstance(test, list):
        return test
    return CompiledRule(
        reason=reason("qualify", rule.kind, rule.id),
        kind=rule.kind,
        hard=rule.effect == "hard",
        multiplier=1.0 if rule.multiplier is None else rule.multiplier,
        test=test,
    )


class RuleBoard:
    """The qualification rules of one flow. Bit i is the i-th rule in order of precedence."""

    __slots__ = ("_customer", "_masks", "_offer", "fits", "per_offer", "rules")

    def __init__(self, rules: list[QualificationRule], index: EntityIndex) -> None:
        self.rules: list[CompiledRule] = []
        self._masks = ScopeMasks()
        self._customer: list[tuple[int, CustomerTest]] = []
        self._offer: list[tuple[int, OfferTest]] = []
        #: The fit rules, and the rules that ask for the offer, as masks.
        self.fits = self.per_offer = 0
        for rule in sorted(rules, key=lambda rule: (-rule.priority, rule.id)):
            ready = compile_rule(rule, resolve=index.id_of)
            if not isinstance(ready, list):
                self._add(rule, ready, index)

    def _add(self, rule: QualificationRule, ready: CompiledRule, index: EntityIndex) -> None:
        bit = len(self.rules)
        self.rules.append(ready)
        if not ready.hard:
            self.fits |= 1 << bit
        if isinstance(ready.test, CustomerTest):
            self._customer.append((1 << bit, ready.test))
        else:
            self._offer.append((1 << bit, ready.test))
            self.per_offer |= 1 << bit
        for where in resolve_scopes(rule.scopes, index):
            self._masks.add(where, bit)

    def mask(self, standing: Standing) -> int:
        """The rules that a candidate standing there is under, whoever the customer is."""
        return self._masks.mask(standing)

    def verdicts(self, known: Known) -> Verdicts:
        """Which rules fail in one request."""
        everywhere = self._masks.of_segments(known.in_segment)
        failed = 0
        for bit, test in self._customer:
            if not test.holds(known):
                failed |= bit
        return Verdicts(self, known, failed, everywhere)

    def failed_for(self, known: Known, candidate: Candidate, asked: int) -> int:
        """Of the rules asked about (a mask), those on the offer that a candidate fails."""
        failed = 0
        for bit, test in self._offer:
            if asked & bit and not test.holds(known, candidate):
                failed |= bit
        return failed

    def fit(self, failed: int) -> float:
        """The product of the multipliers of the fit rules in a mask: 1 for none."""
        fit = 1.0
        for bit, rule in enumerate(self.rules):
            if failed >> bit & 1:
                fit *= rule.multiplier
        return fit


class Verdicts:
    """Which rules fail for one customer, and which for each offer.

    `all_qualify`: no candidate can fail a hard rule. `all_fit`: no candidate can fail a fit rule.
    """

    __slots__ = (
        "_board", "_by_offer", "_everywhere", "_failed", "_fits", "_fits_known", "_known", "all_fit",
        "all_qualify",
    )  # fmt: skip

    def __init__(self, board: RuleBoard, known: Known, failed: int, everywhere: int) -> None:
        self._board = board
        self._known = known
        #: The rules on the customer that fail.
        self._failed = failed
        #: The rules that hold for every candidate because of the customer's segments.
        self._everywhere = everywhere
        self._fits = board.fits
        may_fail = failed | board.per_offer
        self.all_qualify = not may_fail & ~board.fits
        self.all_fit = not may_fail & board.fits
        self._by_offer: dict[str, tuple[int, int]] = {}
        self._fits_known: dict[int, float] = {}

    def disqualified(self, candidate: Candidate) -> int:
        """The hard rules that a candidate fails, as a mask."""
        return self._failed_in(candidate, (candidate.rules | self._everywhere) & ~self._fits)

    def unfit(self, candidate: Candidate) -> int:
        """The fit rules that a candidate fails, as a mask."""
        return self._failed_in(candidate, (candidate.rules | self._everywhere) & self._fits)

    def fit(self, candidate: Candidate) -> float:
        """The product of the multipliers of the fit rules that a candidate fails: 1 for none."""
        mask = self.unfit(candidate)
        fit = self._fits_known.get(mask)
        if fit is None:
            fit = self._fits_known[mask] = self._board.fit(mask)
        return fit

    def numbers(self, bit: int, candidate: Candidate) -> dict[str, Any]:
        """What a rule compared for a candidate."""
        return self._board.rules[bit].numbers(self._known, candidate)

    def _failed_in(self, candidate: Candidate, under: int) -> int:
        """Of the rules that a candidate is under, those that fail."""
        asking = under & self._board.per_offer
        if not asking:
            return under & self._failed
        asked, failed = self._by_offer.get(candidate.offer.id, (0, 0))
        new = asking & ~asked
        if new:
            failed |= self._board.failed_for(self._known, candidate, new)
            self._by_offer[candidate.offer.id] = (asked | new, failed)
        return under & self._failed | asking & failed
