"""POST /simulate: what recommend would answer, with its trace and other settings, and without an effect.

Rules:

1.  Nothing is written and nothing is counted: no record, overlay, contact, learning, latency budget or
    breaker. What is read is what a recommend would read now.
2.  Overrides are compiled beside the event loop, one simulation at a time on a worker, so that recommend is
    not held up by them; `web.simulate_body` bounds what they may hold, `COMPILING_MAX` how many wait.
3.  A simulated recommendation's id begins with `sim`: no response can name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import decide
from app.decision.ids import routed_id
from app.decision.refusals import Problem
from web.access import Operation, Role, areas
from web.accounting import shared_for
from web.deciding import check_known, flow_for, stopwatch_ms, view_of
from web.engine import Engine
from web.errors import overloaded
from web.recommend_answer import RecommendAnswer, answer_of
from web.routing import Lease, lease_customer
from web.simulate_body import SimulateBody, Simulation, changed_profile, read_body, read_simulation
from web.traces import shown_trace
from web.underway import Underway
from web.view import Answer, ApiView, Call, encode

#: Simulations with overrides at once, those that wait included; more are OVERLOADED.
COMPILING_MAX = 16

#: What a simulated recommendation's id begins with.
SIMULATION = "sim"


class SimulateView(ApiView):
    """A recommend that changes nothing."""

    view_name = "simulate"
    view_path = "/api/v1/simulate"
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST": Operation(
            "What recommend would answer, without an effect.",
            Role.EDITOR,
            areas("decide"),
            body=SimulateBody,
            answer=RecommendAnswer,
            errors=(404,),
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        self._turn = asyncio.Lock()
        self._compiling = 0

    async def post(self, call: Call) -> Answer:
        engine = self.engine
        catalogue = engine.catalogue().tenant(call.tenant_id)
        read, problems = read_body(call.body)
        if read.customer_id is not None:
            # Before the work: who does not own the customer sends the request on.
            lease_customer(engine, call.tenant_id, read.customer_id)
        if read.overrides is None:
            simulation = read_simulation(read, problems, catalogue)
        else:
            simulation = await self._compiled(read, problems, catalogue)
        lease = lease_customer(engine, call.tenant_id, simulation.wanted.customer_id)
        return Answer(encode(simulated(engine, lease, simulation)))

    async def _compiled(
        self, read: SimulateBody, problems: list[Problem], catalogue: TenantCatalogue
    ) -> Simulation:
        """The simulation with its overrides compiled, when it is its turn."""
        if self._compiling >= COMPILING_MAX:
            raise overloaded()
        self._compiling += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(read_simulation, read, problems, catalogue)
        finally:
            self._compiling -= 1


def simulated(engine: Engine, lease: Lease, simulation: Simulation) -> RecommendAnswer:
    """The decision for a customer as it would be, and its trace.

    Raises:
        ApiError: 404 without the flow, and for a customer nobody knows where the flow wants one known,
            unless the simulation says who it is.
    """
    wanted, catalogue = simulation.wanted, simulation.catalogue
    partition = lease.partition
    now_ms = engine.clock_ms() if simulation.now_ms is None else simulation.now_ms
    customer = partition.customer(lease.key)
    flow = flow_for(wanted, catalogue)
    contacts, assigned = (
        partition.contacts(lease.key, customer, now_ms),
        partition.assigned(lease.key, customer),
    )
    view = view_of(wanted.customer_id, customer, contacts, assigned)
    if simulation.customer is not None:
        view.profile, view.known = changed_profile(view.profile, simulation.customer), True
    check_known(flow, view)
    recommendation_id = routed_id(SIMULATION, partition.number, now_ms, engine.chance())
    budgets = partition.budgets_of(catalogue, now_ms, asks=False)
    shared = shared_for(engine, catalogue, flow, stopwatch_ms(), budgets)
    decided = decide(flow, wanted.request, view, now_ms, recommendation_id, stopwatch_ms, shared)
    made = Underway(decided, recommendation_id, flow.flow_id, now_ms)
    answer = answer_of(made, wanted.customer_id, wanted.debug, None, engine.settings.recommendations_alias)
    answer.simulated = True
    if decided.trace is not None:
        answer.trace = shown_trace(None, wanted.customer_id, flow.flow_id, decided.trace, now_ms)
    return answer
