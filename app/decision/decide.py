"""Deciding: from a flow, a request and a customer to ranked, rendered decisions.

Rules of this module:

1.  Pure: the same arguments give the same decision. Time, chance and the stopwatch are arguments.
2.  The stages, in order: inventory and creatives, enrich, compute, filter (exclusions, qualification,
    consent, contact policies), score, rank (with the policies' second pass), render. The contact policies'
    view of the customer is taken once and carried through, so that the two passes cannot disagree.
3.  Nothing here fails for what a customer or a request holds. No candidate left is an answer.
4.  Without a trace nothing is paid for one.
"""

from __future__ import annotations

from collections.abc import Callable

from app.decision.conditions import Environment, Fields
from app.decision.decision import (
    CustomerView,
    Decided,
    Decision,
    DecisionRequest,
    PlacementRequest,
)
from app.decision.enrichment import enrich
from app.decision.filtering import apply_policies, drop_excluded, qualify, respect_consent
from app.decision.flow import CompiledFlow
from app.decision.policies import Assessment
from app.decision.ranking import Ranked, Ranking, score
from app.decision.reasons import LIMIT
from app.decision.scoring import explained
from app.decision.shared import NOTHING_SHARED, Shared
from app.decision.shelf import Shelf, stock
from app.decision.tracing import Stopwatch, write_trace

__all__ = ["CustomerView", "Decided", "Decision", "DecisionRequest", "PlacementRequest", "decide"]


def decide(
    flow: CompiledFlow,
    request: DecisionRequest,
    customer: CustomerView,
    now_ms: int,
    salt: str,
    probe: Callable[[], float],
    shared: Shared = NOTHING_SHARED,
) -> Decided:
    """The best decisions for this customer now, and how many candidates each step left.

    Invariant: counted as contacts made now, the decisions exceed no frequency cap and break no cooldown of
    the flow, given the customer's contacts.

    Args:
        flow: The compiled flow.
        request: What is wanted, with ids resolved.
        customer: What is known of the customer, decisions under way included.
        now_ms: The instant of the decision, epoch ms.
        salt: Chance, for strategies that draw (none of the methods here does).
        probe: A monotonic clock in ms; called only for a trace.
        shared: What is known across customers.
    """
    watch = Stopwatch(probe) if request.trace else None
    shelves = stock(flow, request, now_ms)
    environment = enrich(flow.metrics, request, customer, now_ms)
    if watch:
        watch.lap("enrich")
        watch.lap("compute")
    assessment = flow.policies.assess(customer.contacts, now_ms)
    failed_hard, failed_fit = flow.rules.failed(environment)
    qualified = _filter(flow, request, customer, shelves, environment, assessment, failed_hard)
    after_contact_policy = sum([len(shelf.kept) for shelf in shelves])
    if watch:
        watch.lap("filter")
    for shelf in shelves:
        score(shelf, flow, failed_fit)
    if watch:
        watch.lap("score")
    ranking = Ranking(flow, request, assessment)
    filled = [ranking.fill(shelf) for shelf in shelves]
    decisions = tuple([_render(ranked, environment) for ranked in ranking.ranked])
    if watch:
        watch.lap("rank")
    return Decided(
        decisions=decisions,
        total_candidates=sum([len(shelf.candidates) for shelf in shelves]),
        after_qualification=qualified,
        after_contact_policy=after_contact_policy,
        removals=_removals(shelves),
        trace=write_trace(request, customer, environment, shelves, filled, watch) if watch else None,
    )


def _filter(
    flow: CompiledFlow,
    request: DecisionRequest,
    customer: CustomerView,
    shelves: list[Shelf],
    environment: Environment,
    assessment: Assessment,
    failed: int,
) -> int:
    """Take every shelf through the filter stage; returns how many candidates qualified."""
    qualified = 0
    for shelf in shelves:
        drop_excluded(shelf, request)
        qualify(shelf, flow, failed, environment, request.trace)
        qualified += len(shelf.kept)
        respect_consent(shelf, customer)
        apply_policies(shelf, flow, assessment, request.trace)
    return qualified


def _removals(shelves: list[Shelf]) -> dict[str, int]:
    """How many candidates went for each reason."""
    counts: dict[str, int] = {}
    for shelf in shelves:
        for removal in shelf.removed:
            if removal.reason is not LIMIT:
                label = removal.reason.label
                counts[label] = counts.get(label, 0) + 1
    return counts


def _render(ranked: Ranked, environment: Environment) -> Decision:
    """A chosen candidate as the caller gets it."""
    scored = ranked.scored
    candidate = scored.candidate
    offer, creative, channel = candidate.offer, candidate.creative, candidate.channel
    implicit = channel.implicit
    values: dict[str, Fields] = {**environment, "offer": candidate.offer_fields, "personalization": {}}
    return Decision(
        offer_id=offer.id,
        offer_name=offer.name,
        category_id=offer.category_id,
        category_name=candidate.category_name,
        channel_id=channel.id,
        channel_name=channel.name,
        creative_id=creative.id,
        creative_name=creative.name,
        placement_id=candidate.standing.placement_id,
        rank=ranked.rank,
        score=scored.score,
        content=candidate.fill(values),
        personalization={},
        score_explanation=explained(offer, scored.fit, scored.score),
        selection_probability=1.0,
        implicit_contact=implicit,
        reservation_ms=0 if implicit else channel.reservation_ms,
    )
