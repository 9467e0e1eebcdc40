"""How a flow scores, compiled: its method, its model, and the strategy that explores, if there is one.

Rules of this module:

1.  What compiles scores any candidate. A model or formula that is missing or does not compile is a problem at
    publish; what slips by (an older record) is scored by `priority_weighted`.
2.  A model that would not count is refused: with `priority_weighted`, with an expression that does not read
    `score.propensity`, with an exponent of 0 for propensity.
3.  A strategy explores only under a method that grows with propensity and whose rest is known: `propensity`,
    or `formula` with an exponent for it. `priority_weighted` uses no model at all.
4.  Thompson sampling takes no floor: its scores are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from app.decision.candidate import Candidate
from app.decision.entities import Exponents, Model, Scoring
from app.decision.formula import compile_formula
from app.decision.index import EntityIndex
from app.decision.learning.learner import LogisticLearner, learning_key
from app.decision.learning.models import BanditModel, Compiled, LogisticModel, compile_model
from app.decision.learning.thompson import Thompson
from app.decision.problems import Problem, join
from app.decision.scoring.bypass import Bypassed
from app.decision.scoring.context import ScoringContext
from app.decision.scoring.estimates import Estimator
from app.decision.scoring.expression import FIELDS, NAMESPACE, PROPENSITY, Expression
from app.decision.scoring.priority import PriorityWeighted
from app.decision.scoring.propensity import GeometricMean, PropensityTimesFit
from app.decision.scoring.scored import Scored

#: What an expression's names may begin with.
NAMESPACES = frozenset({"customer", "metrics", "attributes", "context", NAMESPACE})


class Method(Protocol):
    """One way to score."""

    def score(self, candidates: list[Candidate], fits: list[float], context: ScoringContext) -> list[Scored]:
        """The candidates' scores, in their order."""

    def explain(self, scored: Scored) -> dict[str, Any]:
        """What a score was made of, as the answer shows it."""


class Scorer:
    """The scoring of one flow, or of one variant of it."""

    __slots__ = ("_bypassed", "estimator", "floor", "method")

    def __init__(self, method: Method, estimator: Estimator, floor: float) -> None:
        self.method = method
        self.estimator = estimator
        self.floor = floor
        self._bypassed = Bypassed()

    def method_for(self, context: ScoringContext) -> Method:
        """The method to score this request by: the flow's, unless its model is bypassed."""
        if self.estimator.model_id in context.shared.bypassed:
            return self._bypassed
        return self.method


def compile_scoring(scoring: Scoring, index: EntityIndex, path: str = "scoring") -> Scorer | list[Problem]:
    """The scoring ready to use, or what is wrong with it.

    Args:
        scoring: A flow's, or a variant's.
        index: The tenant's entities, for its model.
        path: Where it stands in its document.
    """
    problems = _without_effect(scoring, path)
    estimator = _estimator(scoring, index, path)
    if isinstance(estimator, list):
        return problems + estimator
    method = _method(scoring, estimator, path)
    if isinstance(method, list):
        return problems + method
    return problems or Scorer(method, estimator, scoring.floor)


def by_priority(floor: float = 0.0) -> Scorer:
    """The scoring that needs nothing but the offers: for the holdout, and for what does not compile."""
    return Scorer(PriorityWeighted(), Estimator(), floor)


def _without_effect(scoring: Scoring, path: str) -> list[Problem]:
    """A setting is never silently without effect."""
    problems = []
    if scoring.method == "priority_weighted" and scoring.model_id is not None:
        problems.append(Problem(join(path, "modelId"), "priority_weighted uses no model; leave it out"))
    if scoring.method != "formula" and scoring.weights != Exponents():
        problems.append(Problem(join(path, "weights"), f"{scoring.method} uses no weights; leave it out"))
    if scoring.method != "expression" and scoring.expression is not None:
        problems.append(
            Problem(join(path, "expression"), f"{scoring.method} uses no expression; leave it out")
        )
    if scoring.propensity_from == "model" and scoring.model_id is None:
        problems.append(Problem(join(path, "propensityFrom"), "model needs a modelId"))
    return problems


def _estimator(scoring: Scoring, index: EntityIndex, path: str) -> Estimator | list[Problem]:
    if scoring.model_id is None:
        return Estimator()
    entity = index.find("models", scoring.model_id, Model)
    if entity is None:
        return [Problem(join(path, "modelId"), f"there is no {scoring.model_id} among the models")]
    if entity.status != "active":
        return [Problem(join(path, "modelId"), f"{entity.id} is {entity.status}, not active")]
    model = compile_entity(entity)
    if isinstance(model, list):
        return [Problem(join(path, "modelId"), f"{entity.id} does not compile: {model[0].message}")]
    problem = _floored_draws(scoring, model, path) or _unused(scoring, model, path)
    return [problem] if problem is not None else Estimator(entity.id, model, scoring.propensity_from)


def compile_entity(model: Model, path: str = "") -> Compiled | list[Problem]:
    """A model of the catalogue ready to ask, or what is wrong with it."""
    return _compiled(msgspec.json.encode((model.kind, model.config, model.features)), path)


def learners(models: Iterable[Model]) -> dict[str, LogisticLearner]:
    """The active models among these that learn, by the key of what they learn."""
    found = {}
    for entity in models:
        model = compile_entity(entity) if entity.kind == "logistic" and entity.status == "active" else None
        if isinstance(model, LogisticModel):
            found[learning_key(entity.id, model)] = LogisticLearner(model.regression)
    return found


@lru_cache(maxsize=64)
def _compiled(document: bytes, path: str) -> Compiled | list[Problem]:
    """The same document gives the same model: imported trees take long to load, and a change elsewhere in the
    catalogue compiles everything anew."""
    kind, config, features = msgspec.json.decode(document)
    return compile_model(kind, config, features, path)


def _floored_draws(scoring: Scoring, model: Compiled, path: str) -> Problem | None:
    """A floor under drawn scores would choose by chance too, which no selection probability tells of."""
    if scoring.floor == 0.0 or not isinstance(model, BanditModel) or not isinstance(model.strategy, Thompson):
        return None
    return Problem(
        join(path, "floor"), "has no meaning with Thompson sampling: its scores are drawn; leave it out"
    )


def _unused(scoring: Scoring, model: Compiled, path: str) -> Problem | None:
    """Why a model, or a setting of it, would not count; None when it does. An expression tells by itself."""
    explores = isinstance(model, BanditModel)
    if scoring.method == "expression" and explores:
        return Problem(join(path, "modelId"), "a strategy needs method propensity or formula, not expression")
    if scoring.method == "formula" and scoring.weights.p == 0.0:
        return Problem(
            join(path, "weights.p"), "must be above 0, or modelId left out: the model would not count"
        )
    if scoring.propensity_from == "model" and explores:
        return Problem(
            join(path, "propensityFrom"),
            "has no effect: a strategy gives the propensity itself; leave it out",
        )
    return None


def _method(scoring: Scoring, estimator: Estimator, path: str) -> Method | list[Problem]:
    if scoring.method == "propensity":
        return PropensityTimesFit(estimator)
    if scoring.method == "formula":
        by = scoring.weights
        total = by.p + by.r + by.i + by.e
        if abs(total - 1.0) > 1e-9:
            return [Problem(join(path, "weights"), f"must sum to 1, not {total:g}")]
        return GeometricMean(estimator, by)
    if scoring.method == "expression":
        return _expression(scoring, estimator, path)
    return PriorityWeighted()


def _expression(scoring: Scoring, estimator: Estimator, path: str) -> Method | list[Problem]:
    here = join(path, "expression")
    if scoring.expression is None:
        return [Problem(here, "is required for method expression")]
    formula = compile_formula(scoring.expression, None, NAMESPACES)
    if isinstance(formula, list):
        return [Problem(here, f"{one.line}:{one.column} {one.message}") for one in formula]
    unknown = sorted(
        name for name in formula.fields if name.startswith(f"{NAMESPACE}.") and name not in FIELDS
    )
    if unknown:
        return [Problem(here, f"{name} is not one of {', '.join(sorted(FIELDS))}") for name in unknown]
    if estimator.model is not None and PROPENSITY not in formula.fields:
        return [Problem(join(path, "modelId"), f"the expression does not read {PROPENSITY}; leave it out")]
    return Expression(formula, scoring.expression, estimator)
