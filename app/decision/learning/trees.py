"""Gradient-boosted trees that were trained elsewhere, scored by their own libraries.

Rules of this module:

1.  LightGBM's text, XGBoost's JSON and ONNX. The libraries are the extra `trees`; this module alone imports
    them, when a model needs one. A model whose library is not there is refused with a reason.
2.  A library never sees what was not checked: these libraries end the process on broken files.
3.  All rows are scored in one call, on one thread: the workers' processes are what uses the cores.
4.  A number is itself, true 1, false 0, a text its place in `categories` of its field; anything else is
    missing. A row whose field cannot be read, and a score that is not finite, gives None.
5.  The score must be a probability: what the model's objective gives, for a classifier of two classes the
    second's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.decision.entities import Part
from app.decision.learning import lightgbm_text, onnx_graph, xgboost_json
from app.decision.learning.features import FeatureRow, number
from app.decision.learning.tree_shape import BrokenTree
from app.decision.problems import Problem, join

_MISSING = float("nan")
#: Scores of a matrix of rows and fields.
_Predict = Callable[[Any], Any]


class TreesConfig(Part, frozen=True, kw_only=True):
    """A tree model's config: the file's content as text; XGBoost's also as an object, ONNX's in base64."""

    format: Literal["lightgbm", "xgboost", "onnx"]
    model: Annotated[str, Meta(max_length=12_000_000)] | dict[str, Any]
    categories: dict[str, Annotated[tuple[str, ...], Meta(max_length=1_000)]] = msgspec.field(
        default_factory=dict
    )


class Ensemble:
    """Loaded trees over some fields."""

    def __init__(self, predict: _Predict, fields: Sequence[str], config: TreesConfig) -> None:
        self._predict = predict
        self._columns = [
            (field, {name: float(i) for i, name in enumerate(config.categories.get(field, ()))})
            for field in fields
        ]

    def score_rows(self, rows: Sequence[FeatureRow]) -> list[float | None]:
        """The score of each row, in order; None where there is none. Never raises."""
        import numpy

        read = [self._values(row) for row in rows]
        values = [each for each in read if each is not None]
        if not values:
            return [None] * len(rows)
        try:
            found = numpy.asarray(self._predict(numpy.array(values, numpy.float64)), numpy.float64).tolist()
        except Exception:  # noqa: BLE001 - whatever a library raises, its model has no scores
            return [None] * len(rows)
        scores = iter(found)
        return [None if each is None else number(next(scores)) for each in read]

    def _values(self, row: FeatureRow) -> list[float] | None:
        try:
            return [self._value(row(field), places) for field, places in self._columns]
        except Exception:  # noqa: BLE001 - one row that cannot be read must not cost the others their scores
            return None

    @staticmethod
    def _value(value: object, places: dict[str, float]) -> float:
        if isinstance(value, str):
            return places.get(value, _MISSING)
        found = number(value)
        return _MISSING if found is None else found


def load(config: TreesConfig, fields: Sequence[str], path: str) -> Ensemble | list[Problem]:
    """The trees of a config, or what is wrong with it.

    Args:
        config: The config.
        fields: The fields of a row, in the order of the model's features.
        path: Where the config stands in its document.
    """
    unknown = [name for name in config.categories if name not in fields]
    if unknown:
        here = join(path, "categories")
        return [Problem(join(here, name), "is not one of the model's features") for name in unknown]
    here = join(path, "model")
    try:
        ensemble = Ensemble(_LOADERS[config.format](config.model, len(fields)), fields, config)
    except BrokenTree as broken:
        return [Problem(here, str(broken))]
    except (ImportError, OSError) as error:
        message = f"needs a library that is not here ({error}); install offertide[trees]"
        return [Problem(join(path, "format"), message)]
    except Exception as error:  # noqa: BLE001 - each library has its own errors; all say that it will not load it
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return [Problem(here, f"is not loaded by its library: {lines[0]}")]
    if ensemble.score_rows([lambda field: 0.0]) == [None]:
        return [Problem(here, "gives no score for a row of zeros; its output must be one probability")]
    return ensemble


def _lightgbm(model: str | dict[str, Any], features: int) -> _Predict:
    if not isinstance(model, str):
        raise BrokenTree("must be LightGBM's text format; it loads no dump_model() JSON")
    text = lightgbm_text.canonical(model, features)
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    return lambda matrix: booster.predict(matrix, num_threads=1)


def _xgboost(model: str | dict[str, Any], features: int) -> _Predict:
    try:
        document = json.loads(model) if isinstance(model, str) else model
    except (ValueError, RecursionError):
        raise BrokenTree("must be XGBoost's JSON format") from None
    content = xgboost_json.canonical(document, features)
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    return lambda matrix: booster.inplace_predict(matrix)


def _onnx(model: str | dict[str, Any], features: int) -> _Predict:
    if not isinstance(model, str):
        raise BrokenTree("must be an ONNX file in base64")
    try:
        content = base64.b64decode(model, validate=True)
    except (binascii.Error, ValueError):
        raise BrokenTree("must be an ONNX file in base64") from None
    onnx_graph.check(content, features)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda matrix: _second(session.run(None, {given.name: matrix.astype("float32")})[-1])


def _second(output: Any) -> Any:
    """The probabilities of a classifier's second class, or a regressor's only column."""
    import numpy

    if isinstance(output, list):  # one dict for each row, from a ZipMap
        return [list(row.values())[-1] for row in output]
    found = numpy.asarray(output)
    if found.ndim == 2 and found.shape[1] <= 2:
        return found[:, -1]
    return found


_LOADERS: dict[str, Callable[[str | dict[str, Any], int], _Predict]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "onnx": _onnx,
}
