"""Making a decision and putting it on the log.

Rules:

1.  Nothing awaits between reading the customer and laying the decision's overlay beside it, nor between that
    and handing the record to the producer: the next concurrent call counts its contacts, and records are
    sent in the order of their sequence numbers.
2.  An empty decision is no contact and nothing to respond to: it is logged only when it has a trace, or an
    idempotency key to be remembered with.
3.  When Kafka did not take the record, channels that say so are answered all the same, flagged; others are
    refused: NOT_READY when it certainly is not on Kafka, and only then its overlay is withdrawn; PENDING when
    it may be.
4.  A decision is traced when the caller asks, or when the hash of its own id falls into the tenant's sample.
    Only who asked waits for the fold that keeps the trace.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.decide import CustomerView, Decided, decide
from app.decision.flow import CompiledFlow
from app.decision.ids import RECOMMENDATION, routed_id
from app.decision.shared import NO_BUDGETS, Budgets
from app.decision.state import Assigned, Contact, Customer
from config.topics import DECISIONS
from tables.publisher import PublishError
from tables.waiters import FoldAbandonedError, WaitersFullError
from web.accounting import account, shared_for
from web.decision_record import lay
from web.engine import Engine
from web.errors import not_found, not_ready, overloaded, pending
from web.recommend_body import Wanted
from web.routing import Lease
from web.submitting import written
from web.traces import sampled
from web.underway import Remember, Underway

#: What `degraded` says of an answer whose decision is not on the log.
LOG_UNAVAILABLE = "log_unavailable"

_UNKNOWN = (
    "It is unknown whether Kafka took the decision. If it did, its contacts count although it was not "
    "delivered: never one too few. "
)

#: What to do about an answer that is promised and not known.
RETRY_WITH_KEY = "Retry with the same Idempotency-Key."


def make_decision(
    engine: Engine,
    lease: Lease,
    snapshot: CatalogSnapshot,
    tenant_id: str,
    wanted: Wanted,
    remember: Remember | None = None,
) -> Underway:
    """The decision for a customer now, its overlay laid when it goes on the log.

    Raises:
        ApiError: 404 without an active flow, or for a customer nobody knows where the flow wants one known;
            400 when the answer is to be remembered and is too large for that.
    """
    partition, key = lease.partition, lease.key
    if partition.overlays.full:
        raise overloaded()
    now_ms = engine.clock_ms()
    customer = partition.customer(key)
    tenant = snapshot.tenant(tenant_id)
    contacts, assigned = partition.contacts(key, customer, now_ms), partition.assigned(key, customer)
    view = view_of(wanted.customer_id, customer, contacts, assigned)
    budgets = partition.budgets_of(tenant, now_ms)
    made = decide_for(engine, tenant, wanted, partition.number, view, now_ms, budgets)
    if customer is not None and customer.erasure is not None:
        made.erasure_ms = customer.erasure.requested_ms
    if made.decided.decisions or made.decided.trace is not None or remember is not None:
        lay(engine, lease, snapshot.version, tenant_id, wanted.customer_id, made, remember)
    return made


def view_of(
    customer_id: str,
    customer: Customer | None,
    contacts: Sequence[Contact],
    assigned: Mapping[str, Assigned],
) -> CustomerView:
    """What a decision reads of a customer; contacts and assignments of decisions under way included."""
    if customer is None:
        return CustomerView(customer_id, contacts=contacts, assigned=assigned, known=False)
    return CustomerView(
        customer_id,
        customer.profile,
        customer.metrics,
        contacts,
        customer.totals.entries,
        customer.suppressions,
        customer.recent.entries,
        customer.recent_since_ms,
        assigned,
        known=bool(customer.known_since_ms),
    )


def decide_for(
    engine: Engine,
    catalogue: TenantCatalogue,
    wanted: Wanted,
    partition: int,
    view: CustomerView,
    now_ms: int,
    budgets: Budgets = NO_BUDGETS,
) -> Underway:
    """The decision for a customer as seen, as of `now_ms`; nothing is written down yet.

    Who may not spend of budgets (a standby) leaves them out: what has one is blocked then.

    Raises:
        ApiError: as of `make_decision`.
    """
    flow = flow_for(wanted, catalogue)
    check_known(flow, view)
    recommendation_id = routed_id(RECOMMENDATION, partition, now_ms, engine.chance())
    request = wanted.request
    asked = request.trace
    if not asked and sampled(catalogue, recommendation_id):
        request = msgspec.structs.replace(request, trace=True)
    started_ms = stopwatch_ms()
    shared = shared_for(engine, catalogue, flow, started_ms, budgets)
    decided = decide(flow, request, view, now_ms, recommendation_id, stopwatch_ms, shared)
    account(engine, catalogue.tenant_id, flow, decided, started_ms, stopwatch_ms())
    return Underway(decided, recommendation_id, flow.flow_id, now_ms, asked)


async def log_decision(
    engine: Engine, lease: Lease, made: Underway, catalogue: TenantCatalogue
) -> str | None:
    """None once the decision is on the log; else what its answer lacks: its channels let it be answered.

    The fold of a decision whose trace was asked for is waited for, so that it is found at once.

    Raises:
        ApiError: 503 when it is not, or may not be, on the log and must not be answered.
    """
    if made.record is None:
        return None
    overlays = lease.partition.overlays
    try:
        if made.trace_id is None or not made.trace_asked:
            await lease.publish(DECISIONS, made.record)
        else:
            await written(engine, lease, DECISIONS, made.record)
    except WaitersFullError as error:
        overlays.withdraw(made.sequence)
        raise overloaded() from error
    except PublishError as error:
        if error.certain:
            overlays.withdraw(made.sequence)
            made.refused = True
        lease.partition.doubt_since(engine.clock_ms(), error)
        if answered_without_log(made.decided, catalogue):
            return LOG_UNAVAILABLE
        if error.certain:
            raise not_ready("Kafka did not take the decision; retry.") from error
        raise pending(_unknown(made)) from error
    except (TimeoutError, FoldAbandonedError):
        # On the log. Whether it may be answered is the lease's to say.
        pass
    if not lease.holds():
        raise pending(_unknown(made))
    return None


def flow_for(wanted: Wanted, catalogue: TenantCatalogue) -> CompiledFlow:
    """The flow that decides a request.

    Raises:
        ApiError: 404 when the one it names is not active, or there is none.
    """
    flow = catalogue.resolve_flow(wanted.flow, wanted.channel, wanted.placement)
    if flow is not None:
        return flow
    if wanted.flow is not None:
        raise not_found(f"There is no active decision flow {wanted.flow}.", "decisionFlowId")
    raise not_found("There is no active decision flow.")


def check_known(flow: CompiledFlow, view: CustomerView) -> None:
    """Raises ApiError, 404, for a customer nobody knows where the flow wants one known."""
    if not view.known and not flow.allows_unknown:
        raise not_found(f"Customer {view.customer_id} is not known.", "customerId")


def _unknown(made: Underway) -> str:
    """What a caller is told when nobody knows whether the decision is on the log."""
    return _UNKNOWN + ("A retry decides anew." if made.promise is None else RETRY_WITH_KEY)


def answered_without_log(decided: Decided, catalogue: TenantCatalogue) -> bool:
    """Whether all channels of a decision let it be answered though it is not on the log."""
    channels = [catalogue.channel(one.channel_id) for one in decided.decisions]
    return all(channel is not None and channel.answers_without_log for channel in channels)


def stopwatch_ms() -> float:
    """A monotonic clock, ms."""
    return time.perf_counter_ns() / 1e6
