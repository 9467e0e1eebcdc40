"""What entities refer to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.decision.condition_fields import fields_read, metric_references
from app.decision.custom_fields import formula_fields
from app.decision.entities import (
    KINDS,
    BehaviouralMetric,
    Category,
    ContactPolicy,
    DecisionFlow,
    Entity,
    QualificationRule,
    Segment,
)
from app.decision.experiments.checking import references_of
from app.decision.filters import fields_of_filters
from app.decision.index import SINGLE_REFERENCES
from app.decision.loading import struct_fields
from app.decision.policies import compile_policy
from app.decision.qualification import compile_rule
from app.decision.rule_kinds import outcome_reference
from app.decision.scopes import SCOPE_KINDS
from app.decision.scoring.reading import model_references, scoring_references
from app.decision.visibility import metrics_listed

#: (path, reference, kind it refers to)
Reference = tuple[str, str, str]
#: Some of an entity's references, all from fields that belong together.
Source = Callable[[Any], Iterable[Reference]]


def references(kind: str, entity: Entity) -> Iterator[Reference]:
    """Every reference that an entity holds, with its path."""
    for source in sources_of(kind):
        yield from source(entity)


@functools.cache
def sources_of(kind: str) -> tuple[Source, ...]:
    """Where entities of a kind have their references."""
    single = SINGLE_REFERENCES.get(kind, {})
    encoded = {field.name: field.encode_name for field in struct_fields(KINDS[kind])} if single else {}
    singles = (functools.partial(_single, field, encoded[field], target) for field, target in single.items())
    return (*singles, *_SOURCES.get(kind, ()))


def _single(field: str, path: str, target: str, entity: Entity) -> Iterator[Reference]:
    reference = getattr(entity, field)
    if reference is not None:
        yield path, reference, target


def _scopes(entity: QualificationRule | ContactPolicy) -> Iterator[Reference]:
    for i, scope in enumerate(entity.scopes):
        target = SCOPE_KINDS.get(scope.scope)
        if target is not None and scope.id is not None:
            yield f"scopes[{i}].id", scope.id, target


def _formulas(category: Category) -> Iterator[Reference]:
    yield from metric_references(formula_fields(category))


def _rule(entity: QualificationRule) -> Iterator[Reference]:
    rule = compile_rule(entity)
    if not isinstance(rule, list):
        yield from rule.test.references


def _policy(entity: ContactPolicy) -> Iterator[Reference]:
    policy = compile_policy(entity)
    if not isinstance(policy, list):
        yield from policy.references()


def _event_types(metric: BehaviouralMetric) -> Iterator[Reference]:
    for i, event_type in enumerate(metric.event_types):
        yield from outcome_reference(f"eventTypes[{i}]", event_type)


def _segment(segment: Segment) -> Iterator[Reference]:
    yield from metric_references(fields_read(segment.filter, "filter"))


def _routes(flow: DecisionFlow) -> Iterator[Reference]:
    for i, route in enumerate(flow.routes):
        if route.channel_id is not None:
            yield f"routes[{i}].channelId", route.channel_id, "channels"
        if route.placement_id is not None:
            yield f"routes[{i}].placementId", route.placement_id, "placements"


def _flow_scoring(flow: DecisionFlow) -> Iterator[Reference]:
    yield from scoring_references(flow.scoring, "scoring")


def _inventory(flow: DecisionFlow) -> Iterator[Reference]:
    if flow.inventory.scope != "all":
        for i, reference in enumerate(flow.inventory.ids):
            yield f"inventory.ids[{i}]", reference, flow.inventory.scope


def _filters(flow: DecisionFlow) -> Iterator[Reference]:
    yield from metric_references(fields_of_filters(flow.filters))


def _enrich(flow: DecisionFlow) -> Iterator[Reference]:
    for path, name in metrics_listed(flow.enrich.fields):
        yield path, name, "behavioral-metrics"


def _fallback(flow: DecisionFlow) -> Iterator[Reference]:
    for i, reference in enumerate(flow.fallback_offer_ids):
        yield f"fallbackOfferIds[{i}]", reference, "offers"


def _chosen_rules(flow: DecisionFlow) -> Iterator[Reference]:
    listed = flow.qualification.rule_ids
    for i, reference in enumerate(listed if listed != "all" else ()):
        yield f"qualification.ruleIds[{i}]", reference, "qualification-rules"


def _chosen_policies(flow: DecisionFlow) -> Iterator[Reference]:
    listed = flow.contact_policies.policy_ids
    for i, reference in enumerate(listed if listed != "all" else ()):
        yield f"contactPolicies.policyIds[{i}]", reference, "contact-policies"


#: Beside the fields that hold one reference.
_SOURCES: Mapping[str, tuple[Source, ...]] = {
    "categories": (_formulas,),
    "experiments": (references_of,),
    "qualification-rules": (_scopes, _rule),
    "contact-policies": (_scopes, _policy),
    "behavioral-metrics": (_event_types,),
    "segments": (_segment,),
    "models": (model_references,),
    "decision-flows": (
        _routes,
        _flow_scoring,
        _inventory,
        _filters,
        _enrich,
        _fallback,
        _chosen_rules,
        _chosen_policies,
    ),
}
