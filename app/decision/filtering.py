"""The filter stage: which candidates this customer may see at all.

Rules of this module:

1.  In order: what the request excludes, qualification, consent, contact policies, the flow's filters. The
    first that removes a candidate is its reason.
2.  Each step works out once what fails for the customer, then asks each candidate one cheap question.
3.  What was compared is written down only in a traced decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.decision.candidate import Candidate
from app.decision.consent import closed_channels
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.filters import FilterVerdicts
from app.decision.flow import CompiledFlow
from app.decision.policies import Assessment
from app.decision.qualification import Verdicts
from app.decision.reasons import EXCLUDED_CREATIVE, EXCLUDED_OFFER, Reason, lowest_bit, reason
from app.decision.shelf import Removal, Shelf


def drop_excluded(shelf: Shelf, request: DecisionRequest) -> None:
    """Remove the offers and creatives that the request does not want, named by id or key."""
    offers, creatives = request.exclude_offers, request.exclude_creatives
    if not offers and not creatives:
        return
    kept = []
    for candidate in shelf.kept:
        why = _excluded(candidate, offers, creatives)
        if why is None:
            kept.append(candidate)
        else:
            shelf.removed.append(Removal(candidate, why, {}))
    shelf.kept = kept


def _excluded(candidate: Candidate, offers: frozenset[str], creatives: frozenset[str]) -> Reason | None:
    if candidate.offer.id in offers or candidate.offer.key in offers:
        return EXCLUDED_OFFER
    if candidate.creative.id in creatives or candidate.creative.key in creatives:
        return EXCLUDED_CREATIVE
    return None


def qualify(shelf: Shelf, flow: CompiledFlow, verdicts: Verdicts, traced: bool) -> None:
    """Remove the candidates that fail a hard rule."""
    if not verdicts.all_qualify:
        rules = flow.rules.rules
        _remove(shelf, verdicts.disqualified, lambda bit: rules[bit].reason, verdicts.numbers, traced)


def respect_consent(shelf: Shelf, customer: CustomerView, denied: bool) -> None:
    """Remove the candidates on channels that are closed; `denied` ones are until they are granted."""
    consent = {} if customer.profile is None else customer.profile.consent
    closed = closed_channels(consent, shelf.channels, denied)
    if not closed:
        return
    kept = []
    for candidate in shelf.kept:
        numbers = closed.get(candidate.channel.id)
        if numbers is None:
            kept.append(candidate)
        else:
            why = reason("consent", "consent", candidate.channel.id)
            shelf.removed.append(Removal(candidate, why, numbers))
    shelf.kept = kept


def apply_policies(shelf: Shelf, flow: CompiledFlow, assessment: Assessment, traced: bool) -> None:
    """Remove the candidates that a contact policy blocks."""
    candidates, blocked = shelf.kept, assessment.blocked
    if assessment.plain:
        shelf.kept = [candidate for candidate in candidates if not candidate.policies & blocked]
    else:
        shelf.kept = [candidate for candidate in candidates if not assessment.removing(candidate.claim)]
    if len(shelf.kept) == len(candidates):
        return
    for candidate in candidates:
        hit = assessment.removing(candidate.claim)
        if hit:
            bit = lowest_bit(hit)
            numbers = assessment.numbers(bit, candidate.claim) if traced else {}
            shelf.removed.append(Removal(candidate, flow.policies.entries[bit].reason, numbers))


def apply_filters(shelf: Shelf, verdicts: FilterVerdicts, traced: bool) -> None:
    """Remove the candidates that fail a filter of the flow."""
    _remove(shelf, verdicts.failed, verdicts.reason, verdicts.numbers, traced)


def _remove(
    shelf: Shelf,
    failed: Callable[[Candidate], int],
    reason_of: Callable[[int], Reason],
    numbers: Callable[[int, Candidate], dict[str, Any]],
    traced: bool,
) -> None:
    """Remove the candidates that fail something, by the lowest bit of what they fail."""
    kept = []
    for candidate in shelf.kept:
        hit = failed(candidate)
        if not hit:
            kept.append(candidate)
            continue
        bit = lowest_bit(hit)
        shelf.removed.append(Removal(candidate, reason_of(bit), numbers(bit, candidate) if traced else {}))
    shelf.kept = kept
