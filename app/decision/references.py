"""Checking a tenant's entities against each other.

Rules of this module:

1.  Every problem comes at once, each path beginning with its entity: `offers[off_1].categoryId`.
2.  A reference to nothing is a problem that names it. Only a draft decision flow may be incomplete.
3.  What has no problem here compiles.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import msgspec

from app.decision.condition_fields import fields_read, metric_references
from app.decision.custom_fields import computed_problems, custom_fields_of, formula_fields, value_fits
from app.decision.entities import (
    BehaviouralMetric,
    Category,
    ContactPolicy,
    Creative,
    DecisionFlow,
    Entity,
    Experiment,
    Model,
    Offer,
    QualificationRule,
    Scope,
    Scoring,
    Segment,
)
from app.decision.experiments.checking import flow_problems, references_of, tenant_problems
from app.decision.filters import fields_of_filters
from app.decision.flow_reading import reading_problems
from app.decision.formula import compile_formula
from app.decision.index import SINGLE_REFERENCES, EntityIndex, EntityKey
from app.decision.policies import compile_policy
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
from app.decision.rule_kinds import outcome_reference
from app.decision.scopes import SCOPE_KINDS
from app.decision.scoring.reading import model_references, name_problems, scoring_references
from app.decision.scoring.scorer import compile_scoring
from app.decision.visibility import metrics_listed

#: (path, reference, kind it refers to)
_Reference = tuple[str, str, str]


def check_tenant(tenant_id: str, entities: Mapping[EntityKey, Entity]) -> list[Problem]:
    """Everything wrong with a tenant's entities taken together, in a stable order; empty when they compile.

    Args:
        tenant_id: Whose entities they are.
        entities: All of them by (kind in the plural, id), each accepted by `load_entity`.
    """
    index = EntityIndex(entities)
    problems = list(_names(entities))
    for (kind, entity_id), entity in sorted(entities.items()):
        at = f"{kind}[{entity_id}]"
        draft_flow = isinstance(entity, DecisionFlow) and entity.status == "draft"
        if not draft_flow:
            problems.extend(_missing(at, kind, entity, index))
        problems.extend(_disagreements(at, entity, index))
    settings = sorted(entity_id for kind, entity_id in entities if kind == "tenant-settings")
    problems.extend(
        Problem(f"tenant-settings[{entity_id}]", f"a tenant has one, and {settings[0]} is there")
        for entity_id in settings[1:]
    )
    return problems


def _names(entities: Mapping[EntityKey, Entity]) -> Iterator[Problem]:
    """Keys used twice, and ids that are not the entity's."""
    taken: dict[tuple[str, str], str] = {(kind, entity_id): entity_id for kind, entity_id in entities}
    for (kind, entity_id), entity in sorted(entities.items()):
        at = f"{kind}[{entity_id}]"
        if entity.id != entity_id:
            yield Problem(f"{at}.id", f"is {entity.id or 'missing'}, but the entity is kept as {entity_id}")
        if entity.key is not None:
            owner = taken.setdefault((kind, entity.key), entity_id)
            if owner != entity_id:
                yield Problem(f"{at}.key", f"{entity.key} already names {kind}[{owner}]")


def _missing(at: str, kind: str, entity: Entity, index: EntityIndex) -> Iterator[Problem]:
    for path, reference, target in _references(kind, entity):
        if index.id_of(target, reference) is None:
            yield Problem(f"{at}.{path}", f"there is no {reference} among the {target}")


def _references(kind: str, entity: Entity) -> Iterator[_Reference]:
    """Every reference that an entity holds, with its path."""
    encoded = _encoded_names(type(entity))
    for field, target in SINGLE_REFERENCES.get(kind, {}).items():
        reference = getattr(entity, field)
        if reference is not None:
            yield encoded[field], reference, target
    if isinstance(entity, QualificationRule | ContactPolicy):
        yield from _scope_references(entity.scopes)
    if isinstance(entity, Category):
        yield from metric_references(formula_fields(entity))
    if isinstance(entity, Experiment):
        yield from references_of(entity)
    if isinstance(entity, QualificationRule):
        rule = compile_rule(entity)
        if not isinstance(rule, list):
            yield from rule.test.references
    if isinstance(entity, ContactPolicy):
        policy = compile_policy(entity)
        if not isinstance(policy, list):
            yield from policy.references()
    if isinstance(entity, BehaviouralMetric):
        for i, event_type in enumerate(entity.event_types):
            yield from outcome_reference(f"eventTypes[{i}]", event_type)
    if isinstance(entity, Segment):
        yield from metric_references(fields_read(entity.filter, "filter"))
    if isinstance(entity, Model):
        yield from model_references(entity)
    if isinstance(entity, DecisionFlow):
        yield from _flow_references(entity)


@functools.cache
def _encoded_names(cls: type[Entity]) -> Mapping[str, str]:
    """Wire names by field; finding them anew for each entity took longer than all of the checks."""
    return {field.name: field.encode_name for field in msgspec.structs.fields(cls)}


def _scope_references(scopes: tuple[Scope, ...]) -> Iterator[_Reference]:
    for i, scope in enumerate(scopes):
        target = SCOPE_KINDS.get(scope.scope)
        if target is not None and scope.id is not None:
            yield f"scopes[{i}].id", scope.id, target


def _flow_references(flow: DecisionFlow) -> Iterator[_Reference]:
    for i, route in enumerate(flow.routes):
        if route.channel_id is not None:
            yield f"routes[{i}].channelId", route.channel_id, "channels"
        if route.placement_id is not None:
            yield f"routes[{i}].placementId", route.placement_id, "placements"
    yield from scoring_references(flow.scoring, "scoring")
    if flow.inventory.scope != "all":
        for i, reference in enumerate(flow.inventory.ids):
            yield f"inventory.ids[{i}]", reference, flow.inventory.scope
    yield from metric_references(fields_of_filters(flow.filters))
    for path, name in metrics_listed(flow.enrich.fields):
        yield path, name, "behavioral-metrics"
    for i, reference in enumerate(flow.fallback_offer_ids):
        yield f"fallbackOfferIds[{i}]", reference, "offers"
    for path, listed, target in (
        ("qualification.ruleIds", flow.qualification.rule_ids, "qualification-rules"),
        ("contactPolicies.policyIds", flow.contact_policies.policy_ids, "contact-policies"),
    ):
        if listed != "all":
            for i, reference in enumerate(listed):
                yield f"{path}[{i}]", reference, target


def _disagreements(at: str, entity: Entity, index: EntityIndex) -> Iterator[Problem]:
    """References that exist but contradict each other, and configs that do not compile."""
    if isinstance(entity, Category):
        yield from _category_depth(at, entity, index)
        yield from computed_problems(at, entity, index)
    elif isinstance(entity, Offer):
        yield from _offer(at, entity, index)
    elif isinstance(entity, Creative):
        placement = index.placement(entity.placement_id)
        channel = index.channel(entity.channel_id)
        if placement is not None and channel is not None and placement.channel_id != channel.id:
            yield Problem(f"{at}.placementId", f"{placement.id} is on channel {placement.channel_id}")
    elif isinstance(entity, QualificationRule):
        yield from _rule(at, entity, index)
    elif isinstance(entity, ContactPolicy):
        yield from _policy(at, entity, index)
    elif isinstance(entity, DecisionFlow) and entity.status != "draft":
        yield from _flow_routes(at, entity, index)
        yield from _scoring(f"{at}.scoring", entity.scoring, index)
        yield from reading_problems(at, entity, index)
        yield from flow_problems(at, entity, index)
    elif isinstance(entity, Experiment):
        yield from tenant_problems(at, entity, index)
        for i, variant in enumerate(entity.variants):
            if variant.scoring is not None:
                yield from _scoring(f"{at}.variants[{i}].scoring", variant.scoring, index)


def _category_depth(at: str, category: Category, index: EntityIndex) -> Iterator[Problem]:
    parent = index.category(category.parent_id)
    if parent is not None and (parent.parent_id is not None or parent.id == category.id):
        yield Problem(f"{at}.parentId", f"{parent.id} has a parent itself: categories have two levels")


def _offer(at: str, offer: Offer, index: EntityIndex) -> Iterator[Problem]:
    category = index.category(offer.category_id)
    sub_category = index.category(offer.sub_category_id)
    if category is None:
        return
    if sub_category is not None and sub_category.parent_id != category.id:
        yield Problem(f"{at}.subCategoryId", f"{sub_category.id} is not a subcategory of {category.id}")
    ids = [*index.category_ids(category.id), *([sub_category.id] if sub_category is not None else [])]
    known = custom_fields_of(ids, index)
    for name, value in offer.fields.items():
        if name not in known:
            yield Problem(f"{at}.fields.{name}", f"is not a custom field of category {category.id}")
        elif known[name].type == "computed":
            yield Problem(f"{at}.fields.{name}", "is computed by its formula; leave it out")
        elif value is not None and not value_fits(known[name].type, value):
            yield Problem(f"{at}.fields.{name}", f"must be a {known[name].type}")
    for name, field in known.items():
        if field.required and field.default is None and offer.fields.get(name) is None:
            yield Problem(f"{at}.fields.{name}", f"is required by category {category.id}")


def _rule(at: str, rule: QualificationRule, index: EntityIndex) -> Iterator[Problem]:
    yield from _subcategories(at, rule.scopes, index)
    compiled = compile_rule(rule, f"{at}.config")
    if isinstance(compiled, list):
        yield from compiled
    elif rule.kind == "expression":
        formula = compile_formula(rule.config["formula"], _field_names(index))
        for problem in formula if isinstance(formula, list) else ():
            yield Problem(f"{at}.config.formula", problem.in_words())


def _field_names(index: EntityIndex) -> frozenset[str]:
    """Every custom field that an offer may have."""
    categories = index.all("categories", Category)
    return frozenset(field.key for category in categories for field in category.custom_fields)


def _policy(at: str, policy: ContactPolicy, index: EntityIndex) -> Iterator[Problem]:
    yield from _subcategories(at, policy.scopes, index)
    compiled = compile_policy(policy, at)
    if isinstance(compiled, list):
        yield from compiled


def _subcategories(at: str, scopes: tuple[Scope, ...], index: EntityIndex) -> Iterator[Problem]:
    for i, scope in enumerate(scopes):
        category = index.category(scope.id) if scope.scope == "subcategory" else None
        if category is not None and category.parent_id is None:
            yield Problem(f"{at}.scopes[{i}].id", f"{category.id} is a category without a parent")


def _flow_routes(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    for i, route in enumerate(flow.routes):
        channel, placement = index.channel(route.channel_id), index.placement(route.placement_id)
        if channel is not None and placement is not None and placement.channel_id != channel.id:
            yield Problem(
                f"{at}.routes[{i}].placementId", f"{placement.id} is on channel {placement.channel_id}"
            )


def _scoring(at: str, scoring: Scoring, index: EntityIndex) -> Iterator[Problem]:
    if scoring.model_id is None or index.id_of("models", scoring.model_id) is not None:
        scorer = compile_scoring(scoring, index, at)
        yield from scorer if isinstance(scorer, list) else name_problems(scoring, _field_names(index), at)


def users_of(kind: str, entity_id: str, entities: Mapping[EntityKey, Entity]) -> list[EntityKey]:
    """The entities (kind, id) that refer to one, which therefore cannot be deleted, in a stable order."""
    index = EntityIndex(entities)
    return [
        (user_kind, user_id)
        for (user_kind, user_id), user in sorted(entities.items())
        if any(
            target == kind and index.id_of(target, reference) == entity_id
            for _, reference, target in _references(user_kind, user)
        )
    ]
