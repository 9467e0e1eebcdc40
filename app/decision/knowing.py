"""What one request knows, put together from its flow, its customer and what is shared."""

from __future__ import annotations

from app.decision.conditions import Environment
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.enrichment import known_of
from app.decision.flow import CompiledFlow
from app.decision.known import Known
from app.decision.offer_values import OfferValues
from app.decision.scoring.context import ScoringContext
from app.decision.segments import Memberships


def everything(
    flow: CompiledFlow, environment: Environment, customer: CustomerView, now_ms: int
) -> Environment:
    """What contact policies read: they are the tenant's, so what the flow may not know counts too."""
    if not flow.definition.enrich.fields:
        return environment
    return {**environment, **known_of(flow.surroundings.metrics, customer, now_ms)}


def knowledge(
    flow: CompiledFlow,
    request: DecisionRequest,
    customer: CustomerView,
    environment: Environment,
    offers: OfferValues,
    context: ScoringContext,
    now_ms: int,
) -> Known:
    """What rules and filters may ask for."""
    surroundings = flow.surroundings
    memberships = Memberships(
        surroundings.segments, lambda: known_of(surroundings.metrics, customer, now_ms), request.segments
    )
    estimator = flow.scorer.estimator
    return Known(
        environment,
        offers,
        memberships.in_segment,
        customer.recent,
        lambda candidate: estimator.propensity_of(candidate, context),
        now_ms,
    )
