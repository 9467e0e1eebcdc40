"""GET /decision-traces/{id}: how a decision came about. Stored as it is served, beside its tenant."""

from __future__ import annotations

import msgspec

from app.decision.ids import TRACE, parse_routed_id
from app.decision.trace import Stage, Trace
from web.errors import ApiError, not_found
from web.instants import iso_ms
from web.routing import lease_partition
from web.view import Answer, ApiView, Call, encode


class TraceBody(msgspec.Struct, rename="camel"):
    """A trace as the contract shows it. Durations are ms."""

    trace_id: str
    customer_id: str
    decision_flow_id: str
    stages: tuple[Stage, ...]
    total_duration: float
    processed_at: str


class StoredTrace(msgspec.Struct, rename="camel"):
    """A trace as the log and the state hold it. The tenant is not part of what is served."""

    tenant_id: str
    trace: msgspec.Raw


_stored = msgspec.json.Decoder(StoredTrace)


class TraceView(ApiView):
    """One trace, of the caller's tenant, while it is kept."""

    view_name = "decision-trace"
    view_path = "/api/v1/decision-traces/{traceId:[^/]+}"

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        trace_id = call.path["traceId"]
        routed = parse_routed_id(trace_id)
        if routed is None or routed.prefix != TRACE or routed.partition >= engine.settings.partitions:
            raise _unknown(trace_id)
        if routed.at_ms < engine.clock_ms() - engine.settings.trace_retention_ms:
            raise _unknown(trace_id)
        found = lease_partition(engine, routed.partition).partition.trace(routed.at_ms, trace_id)
        if found is None:
            raise _unknown(trace_id)
        stored = _stored.decode(found)
        if stored.tenant_id != call.tenant_id:
            raise _unknown(trace_id)
        return Answer(bytes(stored.trace))


def stored_trace(
    tenant_id: str, trace_id: str, customer_id: str, flow_id: str, trace: Trace, at_ms: int
) -> msgspec.Raw:
    """The trace's JSON for the log."""
    body = TraceBody(trace_id, customer_id, flow_id, trace.stages, trace.total_duration, iso_ms(at_ms))
    return msgspec.Raw(encode(StoredTrace(tenant_id, msgspec.Raw(encode(body)))))


def _unknown(trace_id: str) -> ApiError:
    return not_found(f"Trace {trace_id[:128]} is not known, or no longer kept.", "traceId")
