"""What this worker's decisions teach it: which flows are too slow, and which models fail.

Both are by a monotonic clock, the stopwatch of `deciding`, ms.
"""

from __future__ import annotations

import structlog

from app.decision.catalogue import TenantCatalogue
from app.decision.decision import Decided
from app.decision.flow import CompiledFlow
from app.decision.shared import NO_BUDGETS, Budgets, Shared
from web.engine import Engine

log = structlog.get_logger(__name__)


def shared_for(
    engine: Engine,
    catalogue: TenantCatalogue,
    flow: CompiledFlow,
    at_ms: float,
    budgets: Budgets = NO_BUDGETS,
) -> Shared:
    """What is known across the tenant's customers, at an instant of the stopwatch, ms."""
    return Shared(
        evidence=engine.scoreboard.tenant(catalogue.tenant_id),
        budgets=budgets,
        bypassed=engine.breakers.bypassed(catalogue.tenant_id, int(at_ms)),
        fallback=engine.latency_budgets.switched(catalogue.tenant_id, flow, at_ms),
    )


def account(
    engine: Engine,
    tenant_id: str,
    flow: CompiledFlow,
    decided: Decided,
    started_ms: float,
    ended_ms: float,
) -> None:
    """Count a decision made: its time against the flow's budget, and how its models did."""
    # Writing a trace down is no part of the decision: a sample must not make a flow fall back.
    took_ms = ended_ms - started_ms if decided.trace is None else decided.trace.total_duration
    engine.latency_budgets.note(tenant_id, flow, took_ms, ended_ms, engine.metrics)
    engine.metrics.decision_seconds.observe(took_ms / 1e3)
    engine.metrics.decisions_total.labels(flow.flow_id).inc()
    if decided.asked_models:
        for model_id in engine.breakers.note(tenant_id, decided.asked_models, int(ended_ms)):
            log.warning("a model keeps failing and is left alone", tenant=tenant_id, model=model_id)
            engine.metrics.model_breakers_opened_total.labels(model_id).inc()
