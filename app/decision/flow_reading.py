"""Whether what a flow's rules, filters and formulas read is there to be read.

Rules of this module:

1.  A rule or filter that reads a field of the customer which `enrich` does not list would fail for everybody,
    and a scoring expression or computed field be without value: the flow is refused, and says which.
2.  A filter may read only fields that offers and creatives have: a typo must not remove everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.decision.custom_fields import formula_fields
from app.decision.entities import Category, DecisionFlow, Experiment, Offer, QualificationRule
from app.decision.filters import CREATIVE_FIELDS, OFFER_FIELDS, fields_of_filters
from app.decision.flow import chosen
from app.decision.index import EntityIndex
from app.decision.inventory import in_inventory
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
from app.decision.scoring.reading import fields_of_scoring
from app.decision.visibility import compile_visible, metrics_listed


def reading_problems(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    """What a flow reads although it is not there.

    Args:
        at: The flow, as problems begin.
        flow: The flow, accepted by `load_entity`.
        index: The tenant's entities.
    """
    yield from _unknown_fields(at, flow, index)
    if not flow.enrich.fields:
        return
    for field, path in fields_of_filters(flow.filters):
        if not _listed(field, flow, index):
            yield Problem(f"{at}.{path}", f"{field} is not among enrich.fields")
    for field, path in fields_of_scoring(flow.scoring, "scoring"):
        if not _listed(field, flow, index):
            yield Problem(f"{at}.{path}", f"{field} is not among enrich.fields")
    for field, reader in _read_by_others(flow, index):
        if not _listed(field, flow, index):
            yield Problem(f"{at}.enrich.fields", f"must list {field}: {reader} reads it")


def _read_by_others(flow: DecisionFlow, index: EntityIndex) -> Iterator[tuple[str, str]]:
    """The fields that other entities read in a flow's decisions, each with what reads it."""
    for rule in chosen("qualification-rules", flow.qualification.rule_ids, index, QualificationRule):
        compiled = compile_rule(rule)
        for field in () if isinstance(compiled, list) else compiled.test.fields:
            yield field, f"qualification-rules[{rule.id}]"
    experiment = index.find("experiments", flow.experiment_id, Experiment)
    for i, variant in enumerate(experiment.variants if experiment is not None else ()):
        if variant.scoring is not None and experiment is not None:
            for field, path in fields_of_scoring(variant.scoring, f"variants[{i}].scoring"):
                yield field, f"experiments[{experiment.id}].{path}"
    yield from _computed(flow, index)


def _computed(flow: DecisionFlow, index: EntityIndex) -> Iterator[tuple[str, str]]:
    """The fields that the computed fields of a flow's offers, fallbacks too, read."""
    fallbacks = {index.id_of("offers", reference) for reference in flow.fallback_offer_ids}
    offered = in_inventory(flow, index)
    decided = {
        category_id
        for offer in index.all("offers", Offer)
        if offered(offer) or offer.id in fallbacks
        for category_id in index.categories_of(offer)
    }
    for category in index.all("categories", Category):
        for field, path in formula_fields(category) if category.id in decided else ():
            yield field, f"categories[{category.id}].{path}"


def _listed(field: str, flow: DecisionFlow, index: EntityIndex) -> bool:
    """Whether a flow may read a field. A metric that does not exist is another problem."""
    fields = flow.enrich.fields
    if not field.startswith("metrics."):
        return compile_visible(fields, {}).covers(field)
    metric_id = index.id_of("behavioral-metrics", field.removeprefix("metrics."))
    listed = {index.id_of("behavioral-metrics", name) for _, name in metrics_listed(fields)}
    return metric_id is None or metric_id in listed or "metrics.*" in fields


def _unknown_fields(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    custom = {field.key for one in index.all("categories", Category) for field in one.custom_fields}
    for field, path in fields_of_filters(flow.filters):
        namespace, _, name = field.partition(".")
        if namespace == "offer" and name not in OFFER_FIELDS and name not in custom:
            yield Problem(
                f"{at}.{path}", f"{name} is neither a field of offers nor a custom field of a category"
            )
        if namespace == "creative" and name not in CREATIVE_FIELDS:
            known = ", ".join(CREATIVE_FIELDS)
            yield Problem(f"{at}.{path}", f"{name} is not a field of creatives; the fields are: {known}")
