"""Deciding: from a flow, a request and a customer to ranked, rendered decisions.

Rules of this module:

1.  Pure: the same arguments give the same decision. Time, chance and the stopwatch are arguments.
2.  The stages, in order: inventory and creatives, enrich, compute, filter (exclusions, qualification,
    consent, contact policies, filters), score, experiment, rank (with the policies' second pass), render. The
    contact
    policies' view of the customer is taken once and carried through, so that the two passes cannot disagree.
3.  Nothing here fails for what a customer or a request holds. No candidate left is an answer.
4.  Without a trace nothing is paid for one: computed values are worked out when a stage first asks for
    them (see `offer_values`), and all in the compute stage when they are to be shown.
5.  A flow that fell back, and a customer in the holdout, take the same way with another order, see
    `ordering`; a fallback has no qualification and no filters.
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
from app.decision.filtering import (
    apply_filters,
    apply_policies,
    drop_excluded,
    qualify,
    respect_consent,
)
from app.decision.flow import CompiledFlow
from app.decision.formula import Value
from app.decision.knowing import everything, knowledge
from app.decision.known import Known
from app.decision.offer_values import OfferValues
from app.decision.ordering import Ordering, ordering_of
from app.decision.policies import Assessment
from app.decision.qualification import Verdicts
from app.decision.ranking import Ranked, Ranking
from app.decision.reasons import LIMIT
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.exploring import explorer
from app.decision.scoring.scorer import Method, Scorer
from app.decision.scoring.stage import explained, method_of, score
from app.decision.shared import NOTHING_SHARED, Shared
from app.decision.shelf import Shelf, stock
from app.decision.tracing import Stopwatch, write_trace

__all__ = ["CustomerView", "Decided", "Decision", "DecisionRequest", "PlacementRequest", "decide"]

#: What `degraded` says of an answer of a flow that overran its latency budget.
LATENCY_FALLBACK = "latency_fallback"


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

    Invariant: counted as contacts made now, the decisions break no contact policy of the flow, given the
    customer's contacts, save what an override or a mandatory offer may pass.

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
    held_out = flow.holds_out(customer.customer_id)
    ordering = ordering_of(flow, held_out, shared)
    fallback = ordering is Ordering.LISTED
    shelves = stock(flow, request, now_ms, fallback)
    environment = enrich(flow.visible, request, customer, now_ms)
    offers = OfferValues(environment)
    computed: dict[str, dict[str, Value]] = {}
    if watch:
        watch.lap("enrich")
        computed = offers.all_computed(one for shelf in shelves for one in shelf.candidates)
        watch.lap("compute")
    context = ScoringContext(offers.environment, shared, salt, probe)
    known = knowledge(flow, request, customer, environment, offers, context, now_ms)
    readable = everything(flow, environment, customer, now_ms)
    assessment = flow.policies.assess(customer, readable, now_ms, known.in_segment, shared.budgets)
    verdicts = None if fallback else flow.rules.verdicts(known)
    after_qualification, after_contact_policy = _filter(
        flow, request, customer, shelves, known, assessment, verdicts
    )
    if watch:
        watch.lap("filter")
    arms = _arms(flow, customer, now_ms, ordering, held_out)
    scorer = flow.scorer if arms is None or held_out else arms.scorer(flow.scorer)
    method = method_of(ordering, scorer, context)
    _score(flow, request, shelves, verdicts, method, context, arms)
    if watch:
        watch.lap("score")
    floor = scorer.floor if ordering is Ordering.SCORE else 0.0
    ranking = Ranking(flow, request, assessment, floor, explorer(scorer, method, shared.evidence, salt))
    filled = [ranking.fill(shelf) for shelf in shelves]
    decisions = tuple([_render(ranked, offers, scorer, method, context, arms) for ranked in ranking.ranked])
    if watch:
        watch.lap("rank")
    return Decided(
        decisions=decisions,
        total_candidates=sum([len(shelf.candidates) for shelf in shelves]),
        after_qualification=after_qualification,
        after_contact_policy=after_contact_policy,
        removals=_removals(shelves),
        degraded_scoring=context.degraded,
        degraded=LATENCY_FALLBACK if fallback else None,
        control_group=held_out,
        asked_models=context.asked,
        assigned={} if arms is None else arms.to_remember(decisions),
        experiment=None if arms is None else arms.flow_shown(),
        trace=(
            write_trace(request, customer, environment, computed, shelves, filled, method, watch)
            if watch
            else None
        ),
    )


def _score(
    flow: CompiledFlow,
    request: DecisionRequest,
    shelves: list[Shelf],
    verdicts: Verdicts | None,
    method: Method,
    context: ScoringContext,
    arms: Arms | None,
) -> None:
    """Take every shelf through the score and experiment stages."""
    for shelf in shelves:
        score(shelf, flow, method, verdicts, context)
        if arms is not None:
            arms.choose_creatives(shelf, request.trace)


def _filter(
    flow: CompiledFlow,
    request: DecisionRequest,
    customer: CustomerView,
    shelves: list[Shelf],
    known: Known,
    assessment: Assessment,
    verdicts: Verdicts | None,
) -> tuple[int, int]:
    """Take every shelf through the filter stage.

    Returns how many candidates qualified, and how many the contact policies then left. Without verdicts
    neither rules nor filters hold.
    """
    qualified = left = 0
    denied = flow.surroundings.settings.consent_default == "deny"
    filters = flow.filters.verdicts(known) if flow.filters.filters and verdicts is not None else None
    for shelf in shelves:
        drop_excluded(shelf, request)
        if verdicts is not None:
            qualify(shelf, flow, verdicts, request.trace)
        qualified += len(shelf.kept)
        respect_consent(shelf, customer, denied)
        apply_policies(shelf, flow, assessment, request.trace)
        left += len(shelf.kept)
        if filters is not None:
            apply_filters(shelf, filters, request.trace)
    return qualified, left


def _arms(
    flow: CompiledFlow, customer: CustomerView, now_ms: int, ordering: Ordering, held_out: bool
) -> Arms | None:
    """The customer's part in the flow's experiments; None where there are none, or it fell back."""
    if flow.experiments is None or ordering is Ordering.LISTED:
        return None
    return Arms(flow.experiments, customer, now_ms, held_out)


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
