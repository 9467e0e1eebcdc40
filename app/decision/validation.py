"""Checking one entity's document by itself.

Rules of this module:

1.  A document is an entity or a list of everything wrong with it, never an exception.
2.  What a wrong document says beside its wrong fields is checked too.
3.  A setting that would have no effect beside the others is refused: nothing is silently without effect.
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
    Segment,
    TenantSettings,
)
from app.decision.experiments.checking import target_problems, variant_problems, window_problems
from app.decision.filters import compile_filter
from app.decision.loading import load_struct
from app.decision.metrics import compile_event_filter, countable
from app.decision.origins import origin_problems
from app.decision.outcomes import OUTCOME_ALIASES, SYSTEM_OUTCOMES
from app.decision.partial import as_far_as_read, partial_of
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
    if not isinstance(entity, list):
        return list(_contradictions(cls, entity)) or entity
    partial = partial_of(cls, body)
    return entity if partial is None else [*entity, *_contradictions(cls, partial)]


def _contradictions(cls: type[Entity], entity: Entity) -> Iterator[Problem]:
    """What each field allows by itself but the entity does not."""
    for check in _CHECKS.get(cls, ()):
        yield from as_far_as_read(lambda check=check: check(entity))  # type: ignore[misc]


def _offer_dates(offer: Offer) -> Iterator[Problem]:
    if offer.start_at is not None and offer.end_at is not None and offer.end_at <= offer.start_at:
        yield Problem("endAt", "must be later than startAt")


def _budget(entity: Offer | Creative) -> Iterator[Problem]:
    yield from budget_problems(entity.budget)


def _channel(channel: Channel) -> Iterator[Problem]:
    if channel.implicit and channel.reservation_ms:
        yield Problem(
            "reservationMs", "has no effect on a channel whose decisions are contacts: leave it out"
        )


def _policy(policy: ContactPolicy) -> Iterator[Problem]:
    yield from problems_in(compile_policy(policy))


def _time_zone(settings: TenantSettings) -> Iterator[Problem]:
    if find_zone(settings.time_zone) is None:
        yield Problem("timeZone", no_zone(settings.time_zone))


def _rate(settings: TenantSettings) -> Iterator[Problem]:
    if settings.rate_limit_per_min is not None and settings.tier != "enterprise":
        yield Problem(
            "rateLimitPerMin",
            f"has no effect on tier {settings.tier}, which sets the rate; leave it out or choose enterprise",
        )


def _origins(settings: TenantSettings) -> Iterator[Problem]:
    yield from origin_problems(settings.cors_origins, "corsOrigins")


def _model(model: Model) -> Iterator[Problem]:
    yield from problems_in(compile_entity(model))


def _segment(segment: Segment) -> Iterator[Problem]:
    yield from problems_in(compile_segment(segment))


def problems_in(compiled: object | list[Problem]) -> list[Problem]:
    """What is wrong with something that was to be compiled; nothing when it compiled."""
    return compiled if isinstance(compiled, list) else []


def _effect(rule: QualificationRule) -> Iterator[Problem]:
    if rule.effect == "fit" and rule.multiplier is None:
        yield Problem("multiplier", "is required for effect fit: 0.1 to 1")
    if rule.effect == "hard" and rule.multiplier is not None:
        yield Problem("multiplier", "has no effect on a hard rule; leave it out or choose effect fit")


def _rule_config(rule: QualificationRule) -> Iterator[Problem]:
    yield from problems_in(compile_rule(rule))


def _scopes(entity: QualificationRule | ContactPolicy) -> Iterator[Problem]:
    for i, scope in enumerate(entity.scopes):
        path = f"scopes[{i}].id"
        if scope.scope == "global" and scope.id is not None:
            yield Problem(path, "must be left out: the global scope is about everything")
        elif scope.scope != "global" and scope.id is None:
            yield Problem(path, f"is required: which {scope.scope}?")


def _metric_key(metric: BehaviouralMetric) -> Iterator[Problem]:
    if "." in metric.key:
        yield Problem("key", "must not contain a dot: conditions read it as metrics.<key>")


def _metric_aggregate(metric: BehaviouralMetric) -> Iterator[Problem]:
    if not countable(metric):
        yield Problem("aggregate", "distinct needs Python 3.13 or older: its library has no newer build yet")


def _metric_filter(metric: BehaviouralMetric) -> Iterator[Problem]:
    yield from problems_in(compile_event_filter(metric))


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


def _routes(flow: DecisionFlow) -> Iterator[Problem]:
    for i, route in enumerate(flow.routes):
        if route == Route():
            yield Problem(f"routes[{i}]", "must name a channelId, a placementId or both")


def _inventory(flow: DecisionFlow) -> Iterator[Problem]:
    inventory = flow.inventory
    if inventory.scope == "all" and inventory.ids:
        yield Problem("inventory.ids", "has no effect with scope all; leave it out or choose another scope")
    if inventory.scope != "all" and not inventory.ids and flow.status == "active":
        yield Problem("inventory.ids", f"must name at least one of the {inventory.scope}")


# A draft may be incomplete: what keeps others from compiling, other entities aside.
def _enrich(flow: DecisionFlow) -> Iterator[Problem]:
    if flow.status != "draft":
        yield from problems_of_fields(flow.enrich.fields)


def _filters(flow: DecisionFlow) -> Iterator[Problem]:
    for i, tree in enumerate(flow.filters if flow.status != "draft" else ()):
        yield from problems_in(compile_filter(i, tree))


def _fallback(flow: DecisionFlow) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, reference in enumerate(flow.fallback_offer_ids if flow.status != "draft" else ()):
        if reference in seen:
            yield Problem(f"fallbackOfferIds[{i}]", f"{reference} is listed twice")
        seen.add(reference)


def _outcome(outcome: OutcomeType) -> Iterator[Problem]:
    if outcome.key in SYSTEM_OUTCOMES or outcome.key in OUTCOME_ALIASES:
        yield Problem("key", f"{outcome.key} is a system outcome type; choose another key")


#: How each kind of entity is looked at by itself, one thing after the other; those that are not here have
#: nothing to contradict.
_CHECKS: Mapping[type[Entity], tuple[Callable[[Any], Iterator[Problem]], ...]] = {
    Category: (field_problems,),
    Offer: (_offer_dates, _budget),
    Creative: (_budget,),
    Channel: (_channel,),
    TenantSettings: (_time_zone, _rate, _origins),
    QualificationRule: (_scopes, _effect, _rule_config),
    ContactPolicy: (_scopes, _policy),
    BehaviouralMetric: (_metric_key, _metric_aggregate, _metric_field, _metric_filter),
    DecisionFlow: (_routes, _inventory, _enrich, _filters, _fallback),
    Experiment: (variant_problems, window_problems, target_problems),
    Model: (_model,),
    OutcomeType: (_outcome,),
    Segment: (_segment,),
}
