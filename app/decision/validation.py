"""Checking one entity's document by itself.

Rules of this module:

1.  A document is an entity or a list of everything wrong with it, never an exception.
2.  A setting that would have no effect beside the others is refused: nothing is silently without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.decision.custom_fields import field_problems
from app.decision.entities import (
    KINDS,
    BehaviouralMetric,
    Category,
    Channel,
    ContactPolicy,
    Creative,
    DecisionFlow,
    Entity,
    Experiment,
    Model,
    Offer,
    OutcomeType,
    QualificationRule,
    Route,
    Scope,
    Segment,
    TenantSettings,
)
from app.decision.experiments.checking import document_problems
from app.decision.filters import compile_filter
from app.decision.loading import load_struct
from app.decision.metrics import compile_event_filter, countable
from app.decision.origins import origin_problems
from app.decision.outcomes import OUTCOME_ALIASES, SYSTEM_OUTCOMES
from app.decision.policies import budget_problems, compile_policy, find_zone
from app.decision.policies.zones import no_zone
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
from app.decision.scoring.scorer import compile_entity
from app.decision.segments import compile_segment
from app.decision.visibility import problems_of_fields


def load_entity(kind: str, body: object) -> Entity | list[Problem]:
    """The entity that a document describes, or every problem with it.

    References are not looked at here: that takes the tenant's other entities, see `references`.

    Args:
        kind: A key of `KINDS`.
        body: A decoded JSON or YAML value, of any shape.
    """
    cls = KINDS.get(kind)
    if cls is None:
        return [Problem("", f"{kind} is not a kind of entity; the kinds are: {', '.join(KINDS)}")]
    entity = load_struct(cls, body)
    if isinstance(entity, list):
        return entity
    return list(_contradictions(entity)) or entity


def _contradictions(entity: Entity) -> Iterator[Problem]:
    """What each field allows by itself but the entity does not."""
    check = _CHECKS.get(type(entity))
    if check is not None:
        yield from check(entity)


def _offer(offer: Offer) -> Iterator[Problem]:
    if offer.start_at is not None and offer.end_at is not None and offer.end_at <= offer.start_at:
        yield Problem("endAt", "must be later than startAt")
    yield from budget_problems(offer.budget)


def _creative(creative: Creative) -> Iterator[Problem]:
    yield from budget_problems(creative.budget)


def _channel(channel: Channel) -> Iterator[Problem]:
    if channel.implicit and channel.reservation_ms:
        yield Problem(
            "reservationMs", "has no effect on a channel whose decisions are contacts: leave it out"
        )


def _policy(policy: ContactPolicy) -> Iterator[Problem]:
    yield from _scopes(policy.scopes)
    yield from problems_in(compile_policy(policy))


def _settings(settings: TenantSettings) -> Iterator[Problem]:
    if find_zone(settings.time_zone) is None:
        yield Problem("timeZone", no_zone(settings.time_zone))
    if settings.rate_limit_per_min is not None and settings.tier != "enterprise":
        yield Problem(
            "rateLimitPerMin",
            f"has no effect on tier {settings.tier}, which sets the rate; leave it out or choose enterprise",
        )
    yield from origin_problems(settings.cors_origins, "corsOrigins")


def _model(model: Model) -> Iterator[Problem]:
    yield from problems_in(compile_entity(model))


def _segment(segment: Segment) -> Iterator[Problem]:
    yield from problems_in(compile_segment(segment))


def problems_in(compiled: object | list[Problem]) -> list[Problem]:
    """What is wrong with something that was to be compiled; nothing when it compiled."""
    return compiled if isinstance(compiled, list) else []


def _rule(rule: QualificationRule) -> Iterator[Problem]:
    yield from _scopes(rule.scopes)
    if rule.effect == "fit" and rule.multiplier is None:
        yield Problem("multiplier", "is required for effect fit: 0.1 to 1")
    if rule.effect == "hard" and rule.multiplier is not None:
        yield Problem("multiplier", "has no effect on a hard rule; leave it out or choose effect fit")
    yield from problems_in(compile_rule(rule))


def _scopes(scopes: tuple[Scope, ...]) -> Iterator[Problem]:
    for i, scope in enumerate(scopes):
        path = f"scopes[{i}].id"
        if scope.scope == "global" and scope.id is not None:
            yield Problem(path, "must be left out: the global scope is about everything")
        elif scope.scope != "global" and scope.id is None:
            yield Problem(path, f"is required: which {scope.scope}?")


def _metric(metric: BehaviouralMetric) -> Iterator[Problem]:
    if "." in metric.key:
        yield Problem("key", "must not contain a dot: conditions read it as metrics.<key>")
    if not countable(metric):
        yield Problem("aggregate", "distinct needs Python 3.13 or older: its library has no newer build yet")
    yield from _metric_field(metric)
    condition = compile_event_filter(metric)
    if isinstance(condition, list):
        yield from condition


def _metric_field(metric: BehaviouralMetric) -> Iterator[Problem]:
    """A field is required by every aggregate but a count, which has none."""
    field, aggregate = metric.field, metric.aggregate
    if aggregate == "count":
        if field is not None:
            yield Problem("field", "has no effect on a count; leave it out or choose another aggregate")
        return
    of_outcomes = (
        "conversionValue",
        *(("offerId", "channelId") if aggregate in ("last", "distinct") else ()),
    )
    allowed = f"data.<name> or {' or '.join(of_outcomes)}"
    if field is None:
        yield Problem("field", f"is required for aggregate {aggregate}: {allowed}")
    elif field not in of_outcomes and not (field.startswith("data.") and all(field.split("."))):
        yield Problem("field", f"must be {allowed} for aggregate {aggregate}")


def _flow(flow: DecisionFlow) -> Iterator[Problem]:
    for i, route in enumerate(flow.routes):
        if route == Route():
            yield Problem(f"routes[{i}]", "must name a channelId, a placementId or both")
    inventory = flow.inventory
    if inventory.scope == "all" and inventory.ids:
        yield Problem("inventory.ids", "has no effect with scope all; leave it out or choose another scope")
    if inventory.scope != "all" and not inventory.ids and flow.status == "active":
        yield Problem("inventory.ids", f"must name at least one of the {inventory.scope}")
    if flow.status != "draft":
        yield from _flow_compiles(flow)


def _flow_compiles(flow: DecisionFlow) -> Iterator[Problem]:
    """What keeps a flow that is not a draft from compiling, other entities aside."""
    yield from problems_of_fields(flow.enrich.fields)
    for i, tree in enumerate(flow.filters):
        compiled = compile_filter(i, tree)
        if isinstance(compiled, list):
            yield from compiled
    seen: set[str] = set()
    for i, reference in enumerate(flow.fallback_offer_ids):
        if reference in seen:
            yield Problem(f"fallbackOfferIds[{i}]", f"{reference} is listed twice")
        seen.add(reference)


def _outcome(outcome: OutcomeType) -> Iterator[Problem]:
    if outcome.key in SYSTEM_OUTCOMES or outcome.key in OUTCOME_ALIASES:
        yield Problem("key", f"{outcome.key} is a system outcome type; choose another key")


#: How each kind of entity is looked at by itself; those that are not here have nothing to contradict.
_CHECKS: Mapping[type[Entity], Callable[[Any], Iterator[Problem]]] = {
    Category: field_problems,
    Offer: _offer,
    Creative: _creative,
    Channel: _channel,
    TenantSettings: _settings,
    QualificationRule: _rule,
    ContactPolicy: _policy,
    BehaviouralMetric: _metric,
    DecisionFlow: _flow,
    Experiment: document_problems,
    Model: _model,
    OutcomeType: _outcome,
    Segment: _segment,
}
