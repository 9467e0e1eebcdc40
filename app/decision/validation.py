"""Checking one entity's document by itself.

Rules of this module:

1.  A document is an entity or a list of everything wrong with it, never an exception.
2.  A field that the catalogue knows but this version gives no behaviour is refused by name, unless it holds
    the value that changes nothing: a setting is never silently without effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.decision.custom_fields import field_problems
from app.decision.entities import (
    KINDS,
    BehaviouralMetric,
    Category,
    ContactPolicy,
    DecisionFlow,
    Entity,
    Experiment,
    Model,
    Offer,
    OutcomeType,
    QualificationRule,
    Route,
    Scope,
)
from app.decision.experiments.checking import document_problems
from app.decision.limits import compile_limit
from app.decision.loading import load_struct
from app.decision.outcomes import OUTCOME_ALIASES, SYSTEM_OUTCOMES
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
from app.decision.scoring.scorer import compile_entity

#: By kind and path: the values that change nothing, and why any other is refused.
_WITHOUT_EFFECT: Mapping[str, Mapping[str, tuple[tuple[object, ...], str]]] = {
    "offers": {
        "budget": ((None, {}), "budgets are not enforced in this version; leave budget out"),
    },
    "creatives": {
        "budget": ((None, {}), "budgets are not enforced in this version; leave budget out"),
    },
    "channels": {
        "reservationMs": ((None, 0), "contacts are not reserved in this version; leave it out or 0"),
    },
    "decision-flows": {
        "enrich": ((None, {}, {"fields": []}), "every attribute and metric is at hand; leave enrich out"),
        "filters": ((None, []), "filters are not evaluated in this version; use qualification rules"),
        "fallbackOfferIds": ((None, []), "flows do not fall back in this version; leave it out"),
        "latencyBudgetMs": ((None, 50), "latency budgets are not enforced in this version; leave it out"),
    },
    "contact-policies": {
        "calendar": ((None, False), "windows are rolling in this version; leave it out or false"),
    },
    "behavioral-metrics": {
        "filter": ((None, {}), "metrics count every event of their types in this version; leave filter out"),
    },
}


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
    refused, rest = _set_aside(kind, body)
    entity = load_struct(cls, rest)
    if isinstance(entity, list):
        return refused + entity
    return refused + list(_contradictions(entity)) or entity


def _set_aside(kind: str, body: object) -> tuple[list[Problem], object]:
    """The document without the fields that have no effect, and a problem for each that wants one."""
    problems: list[Problem] = []
    for path, (harmless, message) in _WITHOUT_EFFECT.get(kind, {}).items():
        outer, _, inner = path.rpartition(".")
        holder = body.get(outer) if outer and isinstance(body, dict) else body
        if not isinstance(holder, dict) or inner not in holder:
            continue
        if not any(_identical(holder[inner], value) for value in harmless):
            problems.append(Problem(path, message))
        kept = {name: value for name, value in holder.items() if name != inner}
        body = {**body, outer: kept} if outer and isinstance(body, dict) else kept
    return problems, body


def _identical(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right


def _contradictions(entity: Entity) -> Iterator[Problem]:
    """What each field allows by itself but the entity does not."""
    if isinstance(entity, Category):
        yield from field_problems(entity)
    elif isinstance(entity, Offer):
        if entity.start_at is not None and entity.end_at is not None and entity.end_at <= entity.start_at:
            yield Problem("endAt", "must be later than startAt")
    elif isinstance(entity, QualificationRule):
        yield from _rule(entity)
    elif isinstance(entity, ContactPolicy):
        yield from _scopes(entity.scopes)
        limit = compile_limit(entity)
        if isinstance(limit, list):
            yield from limit
    elif isinstance(entity, BehaviouralMetric):
        yield from _metric(entity)
    elif isinstance(entity, DecisionFlow):
        yield from _flow(entity)
    elif isinstance(entity, Model):
        model = compile_entity(entity)
        if isinstance(model, list):
            yield from model
    elif isinstance(entity, OutcomeType):
        yield from _outcome(entity)
    elif isinstance(entity, Experiment):
        yield from document_problems(entity)


def _rule(rule: QualificationRule) -> Iterator[Problem]:
    yield from _scopes(rule.scopes)
    if rule.effect == "fit" and rule.multiplier is None:
        yield Problem("multiplier", "is required for effect fit: 0.1 to 1")
    if rule.effect == "hard" and rule.multiplier is not None:
        yield Problem("multiplier", "has no effect on a hard rule; leave it out or choose effect fit")
    compiled = compile_rule(rule)
    if isinstance(compiled, list):
        yield from compiled


def _scopes(scopes: tuple[Scope, ...]) -> Iterator[Problem]:
    for i, scope in enumerate(scopes):
        path = f"scopes[{i}].id"
        if scope.scope == "global" and scope.id is not None:
            yield Problem(path, "must be left out: the global scope is about everything")
        elif scope.scope != "global" and scope.id is None:
            yield Problem(path, f"is required: which {scope.scope}?")


def _metric(metric: BehaviouralMetric) -> Iterator[Problem]:
    if metric.aggregate == "count":
        if metric.field is not None:
            yield Problem("field", "has no effect on a count; leave it out or choose aggregate sum")
    elif metric.field is None:
        yield Problem("field", "is required for aggregate sum: data.<name> or conversionValue")
    elif not _summable(metric.field):
        yield Problem("field", "must be data.<name> or conversionValue to be summed")
    if "." in metric.key:
        yield Problem("key", "must not contain a dot: conditions read it as metrics.<key>")


def _summable(field: str) -> bool:
    return field == "conversionValue" or (field.startswith("data.") and all(field.split(".")))


def _flow(flow: DecisionFlow) -> Iterator[Problem]:
    for i, route in enumerate(flow.routes):
        if route == Route():
            yield Problem(f"routes[{i}]", "must name a channelId, a placementId or both")
    inventory = flow.inventory
    if inventory.scope == "all" and inventory.ids:
        yield Problem("inventory.ids", "has no effect with scope all; leave it out or choose another scope")
    if inventory.scope != "all" and not inventory.ids and flow.status == "active":
        yield Problem("inventory.ids", f"must name at least one of the {inventory.scope}")


def _outcome(outcome: OutcomeType) -> Iterator[Problem]:
    if outcome.key in SYSTEM_OUTCOMES or outcome.key in OUTCOME_ALIASES:
        yield Problem("key", f"{outcome.key} is a system outcome type; choose another key")
