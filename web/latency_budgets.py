"""Latency budgets: how long each flow's decisions take on this worker, and which flows fall back.

Rules:

1.  What counts is the decision itself, not the wait for Kafka.
2.  Only flows that overran are remembered, those of tenants and flows that exist; `FLOWS_MAX` bounds them.
"""

from __future__ import annotations

from app.decision.flow import CompiledFlow
from app.decision.overruns import Overruns
from config.metrics import Metrics

#: Flows remembered at once; past it the one remembered longest is forgotten.
FLOWS_MAX = 10_000


class LatencyBudgets:
    """The overruns of every flow on this worker. Instants are of a monotonic clock, ms."""

    def __init__(self) -> None:
        self._flows: dict[tuple[str, str], Overruns] = {}

    def switched(self, tenant_id: str, flow: CompiledFlow, now_ms: float) -> bool:
        """Whether a flow answers with its fallback offers now."""
        overruns = self._flows.get((tenant_id, flow.flow_id))
        return overruns is not None and flow.falls_back and overruns.switched(now_ms)

    def note(
        self, tenant_id: str, flow: CompiledFlow, duration_ms: float, now_ms: float, metrics: Metrics
    ) -> None:
        """Count a decision that took so long and ended now."""
        key = (tenant_id, flow.flow_id)
        budget_ms = flow.definition.latency_budget_ms
        overruns = self._flows.get(key)
        if duration_ms <= budget_ms:
            if overruns is not None and not overruns.switched(now_ms):
                del self._flows[key]
            return
        metrics.decisions_over_budget_total.labels(flow.flow_id).inc()
        if not flow.falls_back:
            return
        if overruns is None:
            if len(self._flows) >= FLOWS_MAX:
                del self._flows[next(iter(self._flows))]
            overruns = self._flows[key] = Overruns()
        if overruns.note(duration_ms, budget_ms, now_ms):
            metrics.flow_fallbacks_total.labels(flow.flow_id).inc()
