"""What recommend answers: the decisions, twice, and the funnel."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from app.decision.decide import Decision
from app.decision.decision import ExperimentShown
from app.decision.shape import Shape
from web.instants import iso_ms
from web.traces import TraceBody
from web.underway import Underway
from web.view import encode


class DecisionBody(msgspec.Struct, rename="camel", omit_defaults=True):
    """One decision as the contract shows it."""

    offer_id: str
    offer_name: str
    category_id: str
    category_name: str
    channel_id: str
    channel_name: str
    creative_id: str
    creative_name: str
    rank: int
    score: float
    content: dict[str, Any]
    personalization: dict[str, Any]
    score_explanation: dict[str, Any]
    interaction_id: str
    placement: str | None = None
    experiment: ExperimentShown | None = None


class Funnel(msgspec.Struct, rename="camel", omit_defaults=True):
    """The funnel. `degraded` says what this answer lacks; `removals` is there when `debug` was asked for."""

    total_candidates: int
    after_qualification: int
    after_contact_policy: int
    degraded_scoring: bool
    degraded: str | None = None
    removals: dict[str, int] | None = None


class RecommendAnswer(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The answer. `recommendations` is `decisions` again, for clients of the tutorial, unless that is off.

    `controlGroup` is there when the customer is in the tenant's holdout; `simulated` and `trace` in
    simulations only.
    """

    shape: ClassVar[Shape] = Shape(
        types={
            "decisions": list[DecisionBody],
            "recommendations": list[DecisionBody],
            "trace": TraceBody,
        }
    )

    recommendation_id: str
    customer_id: str
    count: int
    decisions: msgspec.Raw
    recommendations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    decision_flow_id: str
    processed_at: str
    meta: Funnel
    control_group: bool = False
    trace_id: str | None = None
    simulated: bool = False
    trace: msgspec.Raw | None = None


def render(made: Underway, customer_id: str, debug: bool, degraded: str | None, alias: bool = True) -> bytes:
    """The JSON of `answer_of`."""
    return encode(answer_of(made, customer_id, debug, degraded, alias))


def answer_of(
    made: Underway, customer_id: str, debug: bool, degraded: str | None, alias: bool = True
) -> RecommendAnswer:
    """The answer.

    Args:
        made: the decision.
        debug: whether the caller wants the removals counted.
        degraded: why the answer is not on the log, None when it is; such an answer has no trace.
        alias: whether the decisions stand under `recommendations` too.
    """
    decided, recommendation_id = made.decided, made.recommendation_id
    decisions = msgspec.Raw(encode([_decision(one, recommendation_id) for one in decided.decisions]))
    return RecommendAnswer(
        recommendation_id=recommendation_id,
        customer_id=customer_id,
        count=len(decided.decisions),
        decisions=decisions,
        recommendations=decisions if alias else msgspec.UNSET,
        decision_flow_id=made.flow_id,
        processed_at=iso_ms(made.at_ms),
        meta=Funnel(
            total_candidates=decided.total_candidates,
            after_qualification=decided.after_qualification,
            after_contact_policy=decided.after_contact_policy,
            degraded_scoring=decided.degraded_scoring,
            degraded=degraded or decided.degraded,
            removals=decided.removals if debug else None,
        ),
        control_group=decided.control_group,
        trace_id=made.trace_id if degraded is None else None,
    )


def decision_interaction_id(recommendation_id: str, rank: int) -> str:
    """The id of one decision: its recommendation's, partition included, and its rank."""
    return f"int_{recommendation_id[4:]}_{rank}"


def _decision(decision: Decision, recommendation_id: str) -> DecisionBody:
    return DecisionBody(
        offer_id=decision.offer_id,
        offer_name=decision.offer_name,
        category_id=decision.category_id,
        category_name=decision.category_name,
        channel_id=decision.channel_id,
        channel_name=decision.channel_name,
        creative_id=decision.creative_id,
        creative_name=decision.creative_name,
        rank=decision.rank,
        score=decision.score,
        content=decision.content,
        personalization=decision.personalization,
        score_explanation=decision.score_explanation,
        interaction_id=decision_interaction_id(recommendation_id, decision.rank),
        placement=decision.placement_id,
        experiment=decision.experiment,
    )
