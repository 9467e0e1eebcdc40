"""What scorings and models read, found at publish.

Rules of this module:

1.  What an expression or a model reads must exist, as for rules: a metric, a custom field of some category.
2.  What does not compile reads nothing here; it is refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.decision.condition_fields import metric_references
from app.decision.entities import Model, Scoring
from app.decision.formula import Formula, compile_formula
from app.decision.learning.models import BanditModel
from app.decision.problems import Problem, join
from app.decision.scoring.scorer import NAMESPACES, compile_entity


def fields_of_scoring(scoring: Scoring, path: str) -> list[tuple[str, str]]:
    """The fields (`customer.age`) that a scoring's expression reads, in order, each with the path.

    Args:
        scoring: A flow's, or a variant's.
        path: Where it stands in its document.
    """
    if scoring.method != "expression" or scoring.expression is None:
        return []
    formula = compile_formula(scoring.expression, None, NAMESPACES)
    here = join(path, "expression")
    return [(field, here) for field in sorted(formula.fields)] if isinstance(formula, Formula) else []


def scoring_references(scoring: Scoring, path: str) -> Iterator[tuple[str, str, str]]:
    """The model and the metrics that a scoring refers to: path, reference, kind. Arguments as above."""
    if scoring.model_id is not None:
        yield join(path, "modelId"), scoring.model_id, "models"
    yield from metric_references(fields_of_scoring(scoring, path))


def name_problems(scoring: Scoring, names: Collection[str], path: str) -> list[Problem]:
    """The bare names in an expression that compiles which are no custom field among `names`."""
    if scoring.method != "expression":
        return []
    formula = compile_formula(scoring.expression, names, NAMESPACES)
    if isinstance(formula, Formula):
        return []
    return [Problem(join(path, "expression"), problem.in_words()) for problem in formula]


def model_references(model: Model) -> Iterator[tuple[str, str, str]]:
    """The metrics that a model looks at: path, reference, kind."""
    compiled = compile_entity(model)
    if isinstance(compiled, list | BanditModel):
        return
    where = "config.features[{}].field" if model.kind == "scorecard" else "features[{}]"
    yield from metric_references((field, where.format(i)) for i, field in enumerate(compiled.fields))
