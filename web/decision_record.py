"""A decision written down: its record for the log, and its overlay beside the customer."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec

from app.decision.decide import Decided
from app.decision.experiments.exposure import newly_assigned
from app.decision.fold import contacts_of, recommendation_of, reservations_of
from app.decision.ids import TRACE, routed_id
from app.decision.records import TRACE_MAX_BYTES, DecisionMade
from app.decision.refusals import Problem
from app.decision.shape import Shape
from app.decision.state import ANSWER_MAX_BYTES, Shown
from tables.overlays import Overlay, Promise
from web.engine import Engine
from web.errors import invalid
from web.idempotency_key import IDEMPOTENCY_KEY
from web.recommend_answer import RecommendAnswer
from web.routing import Lease
from web.traces import StoredTrace, stored_trace
from web.underway import Remember, Underway
from web.view import encode

_NOTHING = msgspec.Raw(b"null")


class DecisionRecord(DecisionMade, omit_defaults=True, rename="camel"):
    """A decision as it is written to Kafka: without the fields that say nothing."""

    shape: ClassVar[Shape] = Shape(types={"trace": StoredTrace, "answer": RecommendAnswer})


def lay(
    engine: Engine,
    lease: Lease,
    version: int,
    tenant_id: str,
    customer_id: str,
    made: Underway,
    remember: Remember | None,
) -> None:
    """Write the decision down for the log, and lay its overlay beside the customer.

    Raises:
        ApiError: 400 when its answer is to be remembered and is too large; nothing was laid.
    """
    overlays = lease.partition.overlays
    made.sequence = overlays.next_sequence()
    trace = _trace(engine, lease, tenant_id, customer_id, made)
    record = _record(engine, version, tenant_id, customer_id, made, trace)
    if remember is not None:
        _promise(engine, made, remember)
        record.answer_key, record.answer = f"{remember.key_hash:016x}", msgspec.Raw(made.answer or b"")
    # Encoded first: an overlay without a record would stay until a later one is folded.
    made.record = encode(record)
    overlays.add(
        Overlay(
            made.sequence,
            lease.key,
            recommendation_of(record),
            tuple(contacts_of(record)),
            reservations_of(record),
            newly_assigned(record),
            made.promise,
        )
    )


def _trace(engine: Engine, lease: Lease, tenant_id: str, customer_id: str, made: Underway) -> msgspec.Raw:
    """The trace for the log; gives the decision its trace's id."""
    if made.decided.trace is None:
        return _NOTHING
    trace_id = routed_id(TRACE, lease.partition.number, made.at_ms, engine.chance())
    trace = stored_trace(tenant_id, trace_id, customer_id, made.flow_id, made.decided.trace, made.at_ms)
    if len(bytes(trace)) > TRACE_MAX_BYTES:
        # The decision counts, whatever becomes of its explanation: the fold would refuse both together.
        return _NOTHING
    made.trace_id = trace_id
    engine.metrics.traces_total.labels("asked" if made.trace_asked else "sampled").inc()
    return trace


def _promise(engine: Engine, made: Underway, remember: Remember) -> None:
    """Fix what the call is answered, for whoever asks again."""
    answer = remember.render(made)
    if len(answer) > ANSWER_MAX_BYTES:
        engine.metrics.idempotent_answers_total.labels("too_large").inc()
        told = f"the answer has {len(answer)} bytes, and at most {ANSWER_MAX_BYTES} can be remembered"
        raise invalid((Problem(IDEMPOTENCY_KEY, f"{told}; ask for fewer decisions, or without a key"),))
    made.answer = answer
    made.promise = Promise(remember.key_hash, len(answer), asyncio.get_running_loop().create_future())


def _record(
    engine: Engine, version: int, tenant_id: str, customer_id: str, made: Underway, trace: msgspec.Raw
) -> DecisionRecord:
    experiment = made.decided.experiment
    return DecisionRecord(
        tenant_id=tenant_id,
        customer_id=customer_id,
        recommendation_id=made.recommendation_id,
        decision_flow_id=made.flow_id,
        at_ms=made.at_ms,
        catalogue_version=version,
        origin=engine.origin_id,
        sequence=made.sequence,
        shown=_shown(made.decided),
        contact_ranks=tuple([one.rank for one in made.decided.decisions if one.implicit_contact]),
        reserved=_reserved(made),
        removals=made.decided.removals,
        probability_draws=max([one.selection_draws or 0 for one in made.decided.decisions], default=0),
        assigned=made.decided.assigned,
        experiment_id=None if experiment is None else experiment.experiment_id,
        variant=None if experiment is None else experiment.variant,
        erasure_ms=made.erasure_ms,
        trace_id=made.trace_id,
        trace=trace,
    )


def _reserved(made: Underway) -> tuple[tuple[int, int], ...]:
    """Rank and end of what the decision reserves."""
    return tuple(
        [(one.rank, made.at_ms + one.reservation_ms) for one in made.decided.decisions if one.reservation_ms]
    )


def _shown(decided: Decided) -> tuple[Shown, ...]:
    return tuple(
        [
            Shown(
                one.rank,
                one.offer_id,
                one.creative_id,
                one.channel_id,
                one.category_id,
                one.placement_id,
                one.selection_probability,
                None if one.experiment is None else one.experiment.experiment_id,
                None if one.experiment is None else one.experiment.variant,
                one.model_id,
                one.features,
            )
            for one in decided.decisions
        ]
    )
