"""The filter stage: which candidates this customer may see at all.

Rules of this module:

1.  In order: what the request excludes, qualification, consent, contact policies. The first that removes a
    candidate is its reason.
2.  Each step works out once what fails for the customer, then asks each candidate one cheap question.
3.  What was compared is written down only in a traced decision.
"""

from __future__ import annotations

from app.decision.candidate import Candidate
from app.decision.consent import revoked_channels
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.failures import Failures
from app.decision.flow import CompiledFlow
from app.decision.policies import Assessment
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


def qualify(shelf: Shelf, flow: CompiledFlow, failures: Failures, traced: bool) -> None:
    """Remove the candidates under a hard rule that fails."""
    candidates = shelf.kept
    if failures.hard_by_offer:
        shelf.kept = [candidate for candidate in candidates if not failures.hard_of(candidate)]
    else:
        failed = failures.hard
        shelf.kept = [candidate for candidate in candidates if not candidate.rules & failed]
    if len(shelf.kept) == len(candidates):
        return
    for candidate in candidates:
        hit = failures.hard_of(candidate)
        if hit:
            bit = lowest_bit(hit)
            numbers = failures.numbers(candidate, bit) if traced else {}
            shelf.removed.append(Removal(candidate, flow.rules.rules[bit].reason, numbers))


def respect_consent(shelf: Shelf, customer: CustomerView) -> None:
    """Remove the candidates on channels that the customer closed."""
    profile = customer.profile
    if profile is None or not profile.consent:
        return
    closed = revoked_channels(profile.consent, shelf.channels)
    if not closed:
        return
    kept = []
    for candidate in shelf.kept:
        name = closed.get(candidate.channel.id)
        if name is None:
            kept.append(candidate)
        else:
            why = reason("consent", "consent", candidate.channel.id)
            shelf.removed.append(Removal(candidate, why, {"consent": name, "state": profile.consent[name]}))
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
