"""Scorecards: points for what is known of a candidate, summed to a propensity.

Rules of this module:

1.  P = 1 / (1 + e^−(points / scale)) with points = base + the points of every feature: a logistic link, so
    that any points give a probability and a further point always counts. `scale` is how many points raise
    the log odds by 1; a card in points to double the odds has scale PDO / ln 2. Siddiqi, "Credit Risk
    Scorecards", 2006.
2.  A feature has exactly one of: `bins`, in ascending order, each for the numbers below its `below` (and
    not below the one before), the last without `below` for all others; `values`, points by text, where true
    and false are written `true` and `false`; `weight`, points for each 1 of a number.
3.  A value that fits none of them, as a missing one, gets the feature's `missing` points (0).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from msgspec import Meta

from app.decision.entities import Part
from app.decision.learning.features import FeatureRow, feature_problems, number
from app.decision.problems import Problem, join

Points = Annotated[float, Meta(ge=-1e6, le=1e6)]
Feature = Callable[[FeatureRow], float]
#: Log odds past this are 0 or 1 in double precision, and would overflow.
_LOG_ODDS_MAX = 700.0


class Bin(Part, frozen=True, kw_only=True):
    """Points for numbers below `below`; without it, for all that are left."""

    points: Points
    below: float | None = None


class ScoredFeature(Part, frozen=True, kw_only=True):
    """The points of one field."""

    field: str
    bins: Annotated[tuple[Bin, ...], Meta(min_length=1, max_length=100)] | None = None
    values: Annotated[dict[str, Points], Meta(min_length=1, max_length=1_000)] | None = None
    weight: Points | None = None
    missing: Points = 0.0


class Scorecard(Part, frozen=True, kw_only=True):
    """A scorecard's config."""

    features: tuple[ScoredFeature, ...]
    base: Points = 0.0
    scale: Annotated[float, Meta(gt=0, le=1e6)] = 1.0


def compile_scorecard(card: Scorecard, path: str) -> Feature | list[Problem]:
    """The propensity of a row as a function, in 0–1; or what is wrong with the card.

    Args:
        card: The config.
        path: Where it stands in its document.
    """
    here = join(path, "features")
    problems = [
        Problem(join(problem.path, "field") if problem.path != here else here, problem.message)
        for problem in feature_problems([feature.field for feature in card.features], here)
    ]
    for i, feature in enumerate(card.features):
        problems += _problems(feature, join(here, f"[{i}]"))
    if problems:
        return problems
    features = [_compiled(feature) for feature in card.features]

    def score(row: FeatureRow) -> float:
        return logistic((card.base + sum(points(row) for points in features)) / card.scale)

    return score


def logistic(log_odds: float) -> float:
    """The probability of these log odds."""
    return 1.0 / (1.0 + math.exp(-max(-_LOG_ODDS_MAX, min(_LOG_ODDS_MAX, log_odds))))


def _problems(feature: ScoredFeature, path: str) -> list[Problem]:
    given = [name for name in ("bins", "values", "weight") if getattr(feature, name) is not None]
    if len(given) != 1:
        return [Problem(path, "must have exactly one of bins, values, weight")]
    if feature.bins is None:
        return []
    problems = []
    edges = [each.below for each in feature.bins]
    for i, (edge, following) in enumerate(pairwise(edges)):
        if edge is None:
            problems.append(Problem(join(path, f"bins[{i}].below"), "is required in all bins but the last"))
        elif following is not None and following <= edge:
            problems.append(Problem(join(path, f"bins[{i + 1}].below"), f"must be above {edge:g}"))
    return problems


def _compiled(feature: ScoredFeature) -> Feature:
    field, missing = feature.field, feature.missing
    if feature.bins is not None:
        bins = [(math.inf if each.below is None else each.below, each.points) for each in feature.bins]
        return lambda row: _binned(number(row(field)), bins, missing)
    if feature.values is not None:
        values = feature.values
        return lambda row: values.get(text(row(field)) or "", missing)
    weight = feature.weight or 0.0

    def weighted(row: FeatureRow) -> float:
        value = number(row(field))
        return missing if value is None else weight * value

    return weighted


def _binned(value: float | None, bins: list[tuple[float, float]], missing: float) -> float:
    if value is None:
        return missing
    return next((points for below, points in bins if value < below), missing)


def text(value: object) -> str | None:
    """The value as a category's name: text as it is, true and false by name; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None
