"""GET /decision-traces/{id} and ?customerId=…: how decisions came about.

Rules:

1.  A trace is stored as it is served, beside its tenant, and served to that tenant for as long as its
    `traceRetentionDays` say.
2.  A customer's list is that of the recommendations that the state keeps, the last 50 within 30 days: what is
    older is found by its id alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.hashing import bucket
from app.decision.ids import TRACE, parse_routed_id
from app.decision.records import CustomerId
from app.decision.refusals import Problem
from app.decision.shape import Shape
from app.decision.state import Recommendation
from app.decision.trace import Stage, Trace
from web.access import LIMIT, OFFSET, Operation, Parameter, Role, areas
from web.customer_body import checked_customer_id
from web.engine import Engine
from web.errors import ApiError, invalid, not_found
from web.instants import iso_ms
from web.query import given, page
from web.routing import lease_customer, lease_partition
from web.view import Answer, ApiView, Call, encode


class TraceBody(msgspec.Struct, rename="camel"):
    """A trace as the contract shows it. Durations are ms; that of a simulation has no id."""

    trace_id: str | None
    customer_id: str
    decision_flow_id: str
    stages: tuple[Stage, ...]
    total_duration: float
    processed_at: str


class StoredTrace(msgspec.Struct, rename="camel"):
    """A trace as the log and the state hold it. The tenant is not part of what is served."""

    shape: ClassVar[Shape] = Shape(types={"trace": TraceBody})

    tenant_id: str
    trace: msgspec.Raw


_stored = msgspec.json.Decoder(StoredTrace)


class TraceView(ApiView):
    """One trace, of the caller's tenant, while it is kept."""

    view_name = "decision-trace"
    view_path = "/api/v1/decision-traces/{traceId:[^/]+}"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "How a decision came about.", Role.VIEWER, areas("decide"), answer=TraceBody, errors=(404,)
        )
    }

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        trace_id = call.path["traceId"]
        routed = parse_routed_id(trace_id)
        if routed is None or routed.prefix != TRACE or routed.partition >= engine.settings.partitions:
            raise _unknown(trace_id)
        if routed.at_ms < _horizon_ms(engine, call):
            raise _unknown(trace_id)
        found = lease_partition(engine, routed.partition).partition.traces.get(routed.at_ms, trace_id)
        if found is None:
            raise _unknown(trace_id)
        stored = _stored.decode(found)
        if stored.tenant_id != call.tenant_id:
            raise _unknown(trace_id)
        return Answer(bytes(stored.trace))


class TraceEntry(msgspec.Struct, rename="camel"):
    """A trace in a list. `count` is how many decisions the recommendation has."""

    id: str
    recommendation_id: str
    decision_flow_id: str
    processed_at: str
    count: int


class TraceList(msgspec.Struct, rename="camel"):
    """One page of a customer's traces, newest first; `total` is how many there are."""

    customer_id: str
    decision_traces: list[TraceEntry]
    total: int


class TracesView(ApiView):
    """A customer's traces, newest first."""

    view_name = "decision-traces"
    view_path = "/api/v1/decision-traces"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "A customer's newest traces.",
            Role.VIEWER,
            areas("decide"),
            answer=TraceList,
            parameters=(Parameter("customerId", CustomerId, "Whose traces.", True), LIMIT, OFFSET),
        )
    }

    async def get(self, call: Call) -> Answer:
        engine = self.engine
        problems: list[Problem] = []
        limit, offset = page(call, problems)
        customer_id = given(call, ("customerId",), problems).get("customerId")
        if customer_id is None and all(problem.field != "customerId" for problem in problems):
            problems.append(Problem("customerId", "customerId is required"))
        if problems or customer_id is None:
            raise invalid(problems)
        lease = lease_customer(engine, call.tenant_id, checked_customer_id(customer_id))
        customer = lease.partition.customer(lease.key)
        recommendations = lease.partition.recommendations(lease.key, customer)
        since_ms = _horizon_ms(engine, call)
        listed = [
            _entry(one, one.trace_id)
            for one in reversed(recommendations)
            if one.trace_id is not None and one.at_ms >= since_ms
        ]
        return Answer(encode(TraceList(customer_id, listed[offset : offset + limit], len(listed))))


def _entry(one: Recommendation, trace_id: str) -> TraceEntry:
    return TraceEntry(
        trace_id, one.recommendation_id, one.decision_flow_id, iso_ms(one.at_ms), len(one.shown)
    )


def _horizon_ms(engine: Engine, call: Call) -> int:
    """The instant since which the tenant's traces are served, epoch ms."""
    return engine.clock_ms() - engine.catalogue().tenant(call.tenant_id).settings.trace_retention_ms


def sampled(catalogue: TenantCatalogue, recommendation_id: str) -> bool:
    """Whether a decision is in the tenant's sample of traces: always the same for the same id."""
    rate = catalogue.settings.trace_sample_rate
    return rate > 0 and bucket(f"trace/{catalogue.tenant_id}", recommendation_id) < rate * 100


def shown_trace(
    trace_id: str | None, customer_id: str, flow_id: str, trace: Trace, at_ms: int
) -> msgspec.Raw:
    """The trace's JSON as it is served."""
    body = TraceBody(trace_id, customer_id, flow_id, trace.stages, trace.total_duration, iso_ms(at_ms))
    return msgspec.Raw(encode(body))


def stored_trace(
    tenant_id: str, trace_id: str, customer_id: str, flow_id: str, trace: Trace, at_ms: int
) -> msgspec.Raw:
    """The trace's JSON for the log."""
    shown = shown_trace(trace_id, customer_id, flow_id, trace, at_ms)
    return msgspec.Raw(encode(StoredTrace(tenant_id, shown)))


def _unknown(trace_id: str) -> ApiError:
    return not_found(f"Trace {trace_id[:128]} is not known, or no longer kept.", "traceId")
