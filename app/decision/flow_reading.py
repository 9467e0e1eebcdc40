"""Whether what a flow's rules and filters read is there to be read.

Rules of this module:

1.  A rule or filter that reads a field of the customer which `enrich` does not list would fail for everybody:
    the flow is refused, and says which.
2.  A filter may read only fields that offers and creatives have: a typo must not remove everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.decision.entities import Category, DecisionFlow, QualificationRule
from app.decision.filters import CREATIVE_FIELDS, OFFER_FIELDS, fields_of_filters
from app.decision.flow import chosen
from app.decision.index import EntityIndex
from app.decision.problems import Problem
from app.decision.qualification import compile_rule
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
    for rule in chosen("qualification-rules", flow.qualification.rule_ids, index, QualificationRule):
        compiled = compile_rule(rule)
        for field in () if isinstance(compiled, list) else compiled.test.fields:
            if not _listed(field, flow, index):
                message = f"must list {field}: qualification-rules[{rule.id}] reads it"
                yield Problem(f"{at}.enrich.fields", message)


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
