"""Models: everything that gives candidates a propensity, behind one seam.

Rules of this module:

1.  A model's document is checked and compiled once; any JSON is compiled or refused with its problems.
2.  A model gives one propensity in 0–1 for each row, in the rows' order. A row that it can say nothing
    about, that makes it fail, or whose result is no number in 0–1 gets None; the others keep theirs.
3.  What a model looks at is in the rows. What a logistic regression has learned is bound with `at`; unbound
    it says nothing.
4.  A strategy is no such model: it scores an offer by its evidence, and draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from app.decision.learning import trees
from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.features import FeatureRow, feature_problems
from app.decision.learning.logistic import EMPTY, Logistic, LogisticConfig, LogisticState
from app.decision.learning.scorecard import Scorecard, compile_scorecard
from app.decision.learning.strategies import Drawn, Highest, Sampler
from app.decision.learning.thompson import Thompson
from app.decision.loading import load_struct
from app.decision.problems import Problem, join

#: Coordinates that a logistic regression may have: what it has learnt stays under about 400 KB, which every
#: partition stores, tells and merges.
COORDINATES_MAX = 8_192


class Said(msgspec.Struct, frozen=True):
    """What a model says of some rows: a propensity in 0–1 for each, None where it has none.

    `failed` tells a model that could not do its work for some row from one that has nothing to say.
    """

    values: Sequence[float | None]
    failed: bool = False


class Model(Protocol):
    """Something that gives candidates a propensity."""

    @property
    def fields(self) -> Sequence[str]:
        """The fields it may ask a row for."""
        ...

    def propensities(self, rows: Sequence[FeatureRow], /) -> Said:
        """The propensity of each row; never raises."""
        ...


class RowModel:
    """A model that scores each row by itself."""

    def __init__(self, fields: Sequence[str], score: Callable[[FeatureRow], float | None]) -> None:
        self.fields = tuple(fields)
        self._score = score

    def propensities(self, rows: Sequence[FeatureRow], /) -> Said:
        """See `Model`."""
        values: list[float | None] = []
        failed = False
        for row in rows:
            try:
                values.append(probability(self._score(row)))
            except Exception:  # noqa: BLE001 - one candidate's failure must not cost the others theirs
                values.append(None)
                failed = True
        return Said(values, failed)


class LogisticModel(RowModel):
    """A logistic regression with what it has learned."""

    def __init__(self, regression: Logistic, state: LogisticState = EMPTY) -> None:
        self.regression = regression
        weights = regression.weights(state)
        known = state.examples > 0.0
        super().__init__(
            regression.fields, lambda row: regression.predict_by(weights, row) if known else None
        )

    def at(self, state: LogisticState) -> LogisticModel:
        """This model with another state; for every change of the state, not for every request."""
        return LogisticModel(self.regression, state)


class BanditModel(msgspec.Struct, frozen=True):
    """A strategy that explores. It scores an offer by its evidence, not rows: it looks at no field."""

    strategy: Thompson | EpsilonGreedy
    sampler: Sampler


#: What a model's document compiles to.
Compiled: TypeAlias = Model | BanditModel


class TreesModel:
    """Imported trees: all rows are scored in one call."""

    def __init__(self, fields: Sequence[str], ensemble: trees.Ensemble) -> None:
        self.fields = tuple(fields)
        self._ensemble = ensemble

    def propensities(self, rows: Sequence[FeatureRow], /) -> Said:
        """See `Model`. Trees have a score for any row that can be read."""
        values = [probability(value) for value in self._ensemble.score_rows(rows)]
        return Said(values, None in values)


def compile_model(kind: object, config: object, features: object, path: str = "") -> Compiled | list[Problem]:
    """The model or strategy of a document, or what is wrong with it.

    Args:
        kind: scorecard, logistic, thompson, epsilon_greedy or trees.
        config: The model's `config`, of any shape.
        features: The model's `features`, of any shape: fields for logistic and trees, else none.
        path: Where the model stands in its document.
    """
    compile_kind = KINDS.get(kind) if isinstance(kind, str) else None
    if compile_kind is None:
        return [Problem(join(path, "kind"), f"must be one of: {', '.join(KINDS)}")]
    return compile_kind({} if config is None else config, [] if features is None else features, path)


def probability(value: object) -> float | None:
    """The value when it is a number in 0–1, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0.0 <= value <= 1.0 else None


def _scorecard(config: object, features: object, path: str) -> Model | list[Problem]:
    card = load_struct(Scorecard, config, join(path, "config"))
    problems = _no_features(features, path, "a scorecard's features are in its config")
    if isinstance(card, list):
        return problems + card
    compiled = compile_scorecard(card, join(path, "config"))
    if isinstance(compiled, list):
        return problems + compiled
    return problems or RowModel([feature.field for feature in card.features], compiled)


def _logistic(config: object, features: object, path: str) -> Model | list[Problem]:
    loaded = load_struct(LogisticConfig, config, join(path, "config"))
    fields = _fields(features, join(path, "features"))
    problems = [each for part in (loaded, fields) if isinstance(part, list) for each in part]
    if isinstance(loaded, list) or isinstance(fields, list):
        return problems
    scales = join(path, "config.scales")
    unknown = [name for name in loaded.scales if name not in fields]
    problems = [Problem(join(scales, name), "is not one of the model's features") for name in unknown]
    if len(fields) * loaded.buckets > COORDINATES_MAX:
        problems.append(Problem(join(path, "config.buckets"), _too_many(len(fields))))
    return problems or LogisticModel(Logistic(loaded, fields))


def _too_many(fields: int) -> str:
    # Which fields are text is not known before their values come.
    most = COORDINATES_MAX // fields
    return f"must be at most {most} with {fields} features: features × buckets may be {COORDINATES_MAX:,}"


def _thompson(config: object, features: object, path: str) -> BanditModel | list[Problem]:
    return _bandit(Thompson, Highest(), config, features, path)


def _epsilon_greedy(config: object, features: object, path: str) -> BanditModel | list[Problem]:
    return _bandit(EpsilonGreedy, Drawn(), config, features, path)


def _bandit(
    cls: type[Thompson] | type[EpsilonGreedy], sampler: Sampler, config: object, features: object, path: str
) -> BanditModel | list[Problem]:
    strategy: Any = load_struct(cls, config, join(path, "config"))
    problems = _no_features(features, path, "this model learns from outcomes alone; leave the features out")
    if isinstance(strategy, list):
        return problems + strategy
    return problems or BanditModel(strategy, sampler)


def _trees(config: object, features: object, path: str) -> Model | list[Problem]:
    loaded = load_struct(trees.TreesConfig, config, join(path, "config"))
    fields = _fields(features, join(path, "features"))
    problems = [each for part in (loaded, fields) if isinstance(part, list) for each in part]
    if isinstance(loaded, list) or isinstance(fields, list):
        return problems
    ensemble = trees.load(loaded, fields, join(path, "config"))
    return ensemble if isinstance(ensemble, list) else TreesModel(fields, ensemble)


def _no_features(features: object, path: str, message: str) -> list[Problem]:
    return [] if features == [] else [Problem(join(path, "features"), message)]


def _fields(features: object, path: str) -> tuple[str, ...] | list[Problem]:
    if not isinstance(features, list):
        return [Problem(path, "must be a list of fields")]
    for i, field in enumerate(features):
        if not isinstance(field, str):
            return [Problem(join(path, f"[{i}]"), "must be a field")]
    return feature_problems(features, path) or tuple(features)


KINDS: dict[str, Callable[[object, object, str], Compiled | list[Problem]]] = {
    "scorecard": _scorecard,
    "logistic": _logistic,
    "thompson": _thompson,
    "epsilon_greedy": _epsilon_greedy,
    "trees": _trees,
}
