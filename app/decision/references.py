"""Checking a tenant's entities against each other.

Rules of this module:

1.  Every problem comes at once, each path beginning with its entity: `offers[off_1].categoryId`.
2.  A reference to nothing is a problem that names it. Only a draft decision flow may be incomplete.
3.  What has no problem here compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from app.decision.custom_fields import computed_problems, custom_fields_of, value_fits
from app.decision.entities import (
    KINDS,
    Category,
    ContactPolicy,
    Creative,
    DecisionFlow,
    Entity,
    Experiment,
    Offer,
    QualificationRule,
    Scoring,
)
from app.decision.experiments.checking import flow_problems, tenant_problems
from app.decision.flow_reading import reading_problems
from app.decision.formula import compile_formula
from app.decision.index import EntityIndex, EntityKey
from app.decision.partial import as_far_as_read, partial_of
from app.decision.policies import compile_policy
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
from app.decision.referring import Source, references, sources_of
from app.decision.scoring.reading import name_problems
from app.decision.scoring.scorer import compile_scoring


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
        for source in sources_of(kind):
            problems.extend(_missing(at, entity, source, index))
        for check in _DISAGREEMENTS.get(kind, ()):
            problems.extend(check(at, entity, index))
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


def problems_beside(kind: str, body: object, index: EntityIndex) -> list[Problem]:
    """What a document that is wrong by itself says against the tenant's other entities, as far as it is read.

    Args:
        kind: A key of `KINDS`.
        body: A decoded JSON or YAML value, of any shape.
        index: The tenant's entities, what the document is to replace included.
    """
    entity = partial_of(KINDS[kind], body)
    if entity is None:
        return []
    checks = [partial(_missing, "", entity, source, index) for source in sources_of(kind)]
    checks += [
        partial(check, "", entity, index)
        for check in _DISAGREEMENTS.get(kind, ())
        if check not in _OF_INDEXED
    ]
    found = (problem for check in checks for problem in as_far_as_read(check))
    return [Problem(problem.path.lstrip("."), problem.message) for problem in found]


def missing_of(kind: str, entity: Entity, index: EntityIndex) -> Iterator[tuple[Problem, tuple[str, str]]]:
    """An entity's references to nothing, each with what it names: the kind, and an id or key."""
    if isinstance(entity, DecisionFlow) and entity.status == "draft":
        return
    for path, reference, target in references(kind, entity):
        if index.id_of(target, reference) is None:
            yield Problem(path, f"there is no {reference} among the {target}"), (target, reference)


def _missing(at: str, entity: Entity, source: Source, index: EntityIndex) -> Iterator[Problem]:
    if isinstance(entity, DecisionFlow) and entity.status == "draft":
        return
    for path, reference, target in source(entity):
        if index.id_of(target, reference) is None:
            yield Problem(f"{at}.{path}", f"there is no {reference} among the {target}")


def _category_depth(at: str, category: Category, index: EntityIndex) -> Iterator[Problem]:
    parent = index.category(category.parent_id)
    if parent is not None and (parent.parent_id is not None or parent.id == category.id):
        yield Problem(f"{at}.parentId", f"{parent.id} has a parent itself: categories have two levels")


def _creative(at: str, creative: Creative, index: EntityIndex) -> Iterator[Problem]:
    placement = index.placement(creative.placement_id)
    channel = index.channel(creative.channel_id)
    if placement is not None and channel is not None and placement.channel_id != channel.id:
        yield Problem(f"{at}.placementId", f"{placement.id} is on channel {placement.channel_id}")


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
    compiled = compile_policy(policy, at)
    if isinstance(compiled, list):
        yield from compiled


def _subcategories(
    at: str, entity: QualificationRule | ContactPolicy, index: EntityIndex
) -> Iterator[Problem]:
    for i, scope in enumerate(entity.scopes):
        category = index.category(scope.id) if scope.scope == "subcategory" else None
        if category is not None and category.parent_id is None:
            yield Problem(f"{at}.scopes[{i}].id", f"{category.id} is a category without a parent")


def _flow_routes(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    for i, route in enumerate(flow.routes if flow.status != "draft" else ()):
        channel, placement = index.channel(route.channel_id), index.placement(route.placement_id)
        if channel is not None and placement is not None and placement.channel_id != channel.id:
            yield Problem(
                f"{at}.routes[{i}].placementId", f"{placement.id} is on channel {placement.channel_id}"
            )


# A draft may be incomplete.
def _flow_scoring(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    if flow.status != "draft":
        yield from _scoring(f"{at}.scoring", flow.scoring, index)


def _flow_reading(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    if flow.status != "draft":
        yield from reading_problems(at, flow, index)


def _flow_experiment(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    if flow.status != "draft":
        yield from flow_problems(at, flow, index)


def _variants(at: str, experiment: Experiment, index: EntityIndex) -> Iterator[Problem]:
    for i, variant in enumerate(experiment.variants):
        if variant.scoring is not None:
            yield from _scoring(f"{at}.variants[{i}].scoring", variant.scoring, index)


def _scoring(at: str, scoring: Scoring, index: EntityIndex) -> Iterator[Problem]:
    if scoring.model_id is None or index.id_of("models", scoring.model_id) is not None:
        scorer = compile_scoring(scoring, index, at)
        yield from scorer if isinstance(scorer, list) else name_problems(scoring, _field_names(index), at)


#: References that exist but contradict each other, and configs that do not compile, by kind.
_DISAGREEMENTS: Mapping[str, tuple[Callable[[str, Any, EntityIndex], Iterator[Problem]], ...]] = {
    "categories": (_category_depth, computed_problems),
    "offers": (_offer,),
    "creatives": (_creative,),
    "qualification-rules": (_subcategories, _rule),
    "contact-policies": (_subcategories, _policy),
    "decision-flows": (_flow_routes, _flow_scoring, _flow_reading, _flow_experiment),
    "experiments": (tenant_problems, _variants),
}
#: Those that look at the entity as the index has it.
_OF_INDEXED = (computed_problems,)


def users_of(kind: str, entity_id: str, entities: Mapping[EntityKey, Entity]) -> list[EntityKey]:
    """The entities (kind, id) that refer to one, which therefore cannot be deleted, in a stable order."""
    index = EntityIndex(entities)
    return [
        (user_kind, user_id)
        for (user_kind, user_id), user in sorted(entities.items())
        if any(
            target == kind and index.id_of(target, reference) == entity_id
            for _, reference, target in references(user_kind, user)
        )
    ]
