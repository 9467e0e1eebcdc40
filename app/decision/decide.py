"""Deciding: from a flow, a request and a customer to ranked, rendered decisions.

Rules of this module:

1.  Pure: the same arguments give the same decision. Time, chance and the stopwatch are arguments.
2.  The stages, in order: inventory and creatives, enrich, compute, filter (exclusions, qualification,
    consent, contact policies), score, experiment, rank (with the policies' second pass), render. The contact
    policies' view of the customer is taken once and carried through, so that the two passes cannot disagree.
3.  Nothing here fails for what a customer or a request holds. No candidate left is an answer.
4.  Without a trace nothing is paid for one: computed values are worked out when a stage first asks for
    them (see `offer_values`), and all in the compute stage when they are to be shown.
"""

from __future__ import annotations

from collections.abc import Callable

from app.decision.decision import (
    CustomerView,
    Decided,
    Decision,
    DecisionRequest,
    PlacementRequest,
)
from app.decision.enrichment import enrich
from app.decision.experiments.stage import Arms
from app.decision.failures import Failures
from app.decision.filtering import apply_policies, drop_excluded, qualify, respect_consent
from app.decision.flow import CompiledFlow
from app.decision.formula import Value
from app.decision.offer_values import OfferValues
from app.decision.policies import Assessment
from app.decision.ranking import Ranked, Ranking
from app.decision.reasons import LIMIT
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.exploring import explorer
from app.decision.scoring.scorer import Method, Scorer
from app.decision.scoring.stage import explained, score
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
        salt: Chance, for strategies that draw.
        probe: A monotonic clock in ms; called only for a trace, and around a model.
        shared: What is known across customers.
    """
    watch = Stopwatch(probe) if request.trace else None
    shelves = stock(flow, request, now_ms)
    environment = enrich(flow.metrics, request, customer, now_ms)
    offers = OfferValues(environment)
    computed: dict[str, dict[str, Value]] = {}
    if watch:
        watch.lap("enrich")
        computed = offers.all_computed(one for shelf in shelves for one in shelf.candidates)
        watch.lap("compute")
    assessment = flow.policies.assess(customer.contacts, now_ms)
    failures = Failures(flow.rules, environment, offers)
    qualified = _filter(flow, request, customer, shelves, assessment, failures)
    after_contact_policy = sum([len(shelf.kept) for shelf in shelves])
    if watch:
        watch.lap("filter")
    arms = None if flow.experiments is None else Arms(flow.experiments, customer, now_ms)
    context = ScoringContext(offers.environment, shared, salt, probe)
    scorer, method = _score(flow, request, shelves, failures, context, arms)
    if watch:
        watch.lap("score")
    exploring = explorer(scorer, method, shared.evidence, salt)
    ranking = Ranking(flow, request, assessment, scorer.floor, exploring)
    filled = [ranking.fill(shelf) for shelf in shelves]
    decisions = tuple([_render(ranked, offers, scorer, method, context, arms) for ranked in ranking.ranked])
    if watch:
        watch.lap("rank")
    return Decided(
        decisions=decisions,
        total_candidates=sum([len(shelf.candidates) for shelf in shelves]),
        after_qualification=qualified,
        after_contact_policy=after_contact_policy,
        removals=_removals(shelves),
        degraded_scoring=context.degraded,
        asked_models=context.asked,
        assigned={} if arms is None else arms.to_remember(decisions),
        experiment=None if arms is None else arms.flow_shown(),
        trace=(
            write_trace(request, customer, environment, computed, shelves, filled, watch) if watch else None
        ),
    )


def _filter(
    flow: CompiledFlow,
    request: DecisionRequest,
    customer: CustomerView,
    shelves: list[Shelf],
    assessment: Assessment,
    failures: Failures,
) -> int:
    """Take every shelf through the filter stage; returns how many candidates qualified."""
    qualified = 0
    for shelf in shelves:
        drop_excluded(shelf, request)
        qualify(shelf, flow, failures, request.trace)
        qualified += len(shelf.kept)
        respect_consent(shelf, customer)
        apply_policies(shelf, flow, assessment, request.trace)
    return qualified


def _score(
    flow: CompiledFlow,
    request: DecisionRequest,
    shelves: list[Shelf],
    failures: Failures,
    context: ScoringContext,
    arms: Arms | None,
) -> tuple[Scorer, Method]:
    """Take every shelf through the score and experiment stages; returns what scored them."""
    scorer = flow.scorer if arms is None else arms.scorer(flow.scorer)
    method = scorer.method_for(context)
    for shelf in shelves:
        score(shelf, flow, method, failures, context)
        if arms is not None:
            arms.choose_creatives(shelf, request.trace)
    return scorer, method


def _removals(shelves: list[Shelf]) -> dict[str, int]:
    """How many candidates went for each reason."""
    counts: dict[str, int] = {}
    for shelf in shelves:
        for removal in shelf.removed:
            if removal.reason is not LIMIT:
                label = removal.reason.label
                counts[label] = counts.get(label, 0) + 1
    return counts


def _render(
    ranked: Ranked,
    offers: OfferValues,
    scorer: Scorer,
    method: Method,
    context: ScoringContext,
    arms: Arms | None,
) -> Decision:
    """A chosen candidate as the caller gets it."""
    scored = ranked.scored
    candidate = scored.candidate
    offer, creative, channel = candidate.offer, candidate.creative, candidate.channel
    learning = scorer.estimator.learning_key
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
        content=candidate.fill(offers.environment(candidate)),
        personalization=offers.computed(candidate),
        score_explanation=explained(method, ranked),
        selection_probability=ranked.probability,
        selection_draws=ranked.draws,
        implicit_contact=channel.implicit,
        reservation_ms=0 if channel.implicit else channel.reservation_ms,
        experiment=None if arms is None else arms.shown(candidate),
        model_id=learning,
        features=() if learning is None else scorer.estimator.features(context.row(candidate)),
    )
