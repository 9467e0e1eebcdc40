"""Imported trees: scored as their libraries score them, and refused before they can do harm."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.decision.learning.models import BanditModel, Model, compile_model
from app.decision.problems import Problem
from tests.decision.learning.tree_files import lightgbm_file, onnx_file, require, training_data, xgboost_file

FIELDS = ["customer.a", "customer.b", "customer.c"]
BLANK: dict[str, object] = {}
FORMATS: dict[str, tuple[str, Callable[[], str]]] = {
    "lightgbm": ("lightgbm", lightgbm_file),
    "xgboost": ("xgboost", xgboost_file),
    "onnx": ("onnxruntime", onnx_file),
}


def model_file(kind: str) -> str:
    library, file = FORMATS[kind]
    require(library)
    return file()


def compiled(kind: str, model: object, **config: object) -> Model:
    found = compile_model("trees", {"format": kind, "model": model, **config}, FIELDS)
    assert not isinstance(found, list | BanditModel), found
    return found


def refused(kind: str, model: object, fields: list[str] = FIELDS) -> list[Problem]:
    found = compile_model("trees", {"format": kind, "model": model}, fields, "models[m]")
    assert isinstance(found, list)
    return found


def rows_of(matrix: Any) -> list[Callable[[str], object]]:
    return [dict(zip(FIELDS, map(float, row), strict=True)).get for row in matrix]


def test_lightgbm_scores_as_the_given_file_does() -> None:
    text = model_file("lightgbm")
    import lightgbm

    matrix, _ = training_data()
    expected = lightgbm.Booster(model_str=text).predict(matrix).tolist()
    assert list(compiled("lightgbm", text).propensities(rows_of(matrix)).values) == expected


def test_lightgbm_categories_survive() -> None:
    require("lightgbm")
    import lightgbm
    import numpy

    places = numpy.random.default_rng(2).integers(0, 40, size=(500, 1)).astype(float)
    labels = (places[:, 0] % 3 == 0).astype(int)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_per_group": 1}
    data = lightgbm.Dataset(places, labels, categorical_feature=[0])
    trained = lightgbm.train(parameters, data, num_boost_round=5)
    text = trained.model_to_string()
    assert "cat_threshold" in text
    names = [f"city {i}" for i in range(40)]
    config = {"format": "lightgbm", "model": text, "categories": {"customer.city": names}}
    model = compile_model("trees", config, ["customer.city"])
    assert not isinstance(model, list | BanditModel)
    found = model.propensities([{"customer.city": names[int(place)]}.get for (place,) in places]).values
    assert list(found) == trained.predict(places).tolist()


@pytest.mark.parametrize("as_text", [True, False])
def test_xgboost_scores_as_the_given_file_does(as_text: bool) -> None:
    text = model_file("xgboost")
    import xgboost

    matrix, _ = training_data()
    booster = xgboost.Booster()
    booster.load_model(bytearray(text.encode()))
    expected = booster.predict(xgboost.DMatrix(matrix)).tolist()
    model = compiled("xgboost", text if as_text else json.loads(text))
    assert list(model.propensities(rows_of(matrix)).values) == expected


def test_onnx_scores_as_its_tree_says() -> None:
    model = compiled("onnx", model_file("onnx"))
    assert list(model.propensities(rows_of([[9, 0, 0], [10, 0, 0], [11, 0, 0]])).values) == [0.25, 0.25, 0.75]


def failing(field: str) -> object:
    raise RuntimeError(field)


@pytest.mark.parametrize("kind", FORMATS)
def test_one_row_that_fails_costs_the_others_nothing(kind: str) -> None:
    model = compiled(kind, model_file(kind))
    found = model.propensities([failing, BLANK.get, {"customer.a": "text", "customer.b": True}.get]).values
    assert [each is None for each in found] == [True, False, False]
    assert list(model.propensities([]).values) == []
    assert list(model.propensities([failing]).values) == [None]


def cyclic(text: str) -> str:
    document = json.loads(text)
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][1] = 0
    return json.dumps(document)


#: What is done to a good file, and what is said of it.
BROKEN: list[tuple[str, Callable[[str], object], str]] = [
    ("lightgbm", lambda text: "", "save_model()"),
    ("lightgbm", lambda text: {}, "dump_model() JSON"),
    ("lightgbm", lambda text: text.replace("split_feature=", "split_feature=9", 1), "is not listed"),
    ("lightgbm", lambda text: text.replace("left_child=", "left_child=7", 1), "tree 0: node 7"),
    ("lightgbm", lambda text: text.replace("num_class=1", "num_class=3"), "one class"),
    ("lightgbm", lambda text: text.replace("objective=binary", "objective=lambdarank"), "objective"),
    ("lightgbm", lambda text: text.replace("is_linear=0", "is_linear=1", 1), "linear"),
    ("lightgbm", lambda text: text.replace("leaf_value=", "leaf_value=nan ", 1), "leaf_value"),
    ("xgboost", lambda text: "[" * 100_000, "JSON"),
    ("xgboost", lambda text: "null", "must be an object"),
    ("xgboost", cyclic, "tree 0: node 0 is reached twice"),
    ("xgboost", lambda text: text.replace('"gbtree"', '"dart"'), "gbtree"),
    ("xgboost", lambda text: text.replace("binary:logistic", "multi:softmax"), "objective"),
    ("xgboost", lambda text: text.replace('"num_feature":"3"', '"num_feature":"4"'), "trained on 3"),
    ("onnx", lambda text: "é", "base64"),
    ("onnx", lambda text: {}, "base64"),
    ("onnx", lambda text: text[:100], "ONNX"),
    ("onnx", lambda text: base64.b64encode(b"not a model").decode(), "ONNX"),
    ("onnx", lambda text: onnx_file(true=(0, 0, 0)), "node 0 is reached twice"),
    ("onnx", lambda text: onnx_file(false=(3, 0, 0)), "node 3 is not one of 3"),
    ("onnx", lambda text: onnx_file(feature=3), "is not listed"),
    ("onnx", lambda text: onnx_file(operator="Loop"), "only the operators"),
]


@pytest.mark.parametrize(("kind", "change", "message"), BROKEN)
def test_a_broken_file_is_refused(kind: str, change: Callable[[str], object], message: str) -> None:
    (problem,) = refused(kind, change(model_file(kind)))
    assert problem.path == "models[m].config.model"
    assert message in problem.message


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_for_other_features_is_refused(kind: str) -> None:
    file = onnx_file(feature=2) if kind == "onnx" else model_file(kind)
    (problem,) = refused(kind, file, FIELDS[:2])
    assert "features" in problem.message or "is not listed" in problem.message


@pytest.mark.parametrize("kind", FORMATS)
def test_without_its_library_a_model_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = model_file(kind)
    monkeypatch.setitem(sys.modules, FORMATS[kind][0], None)
    (problem,) = refused(kind, file)
    assert problem.path == "models[m].config.format"
    assert "offertide[trees]" in problem.message


def test_categories_of_another_field_are_refused() -> None:
    config = {"format": "onnx", "model": "", "categories": {"customer.z": ["a"]}}
    found = compile_model("trees", config, FIELDS, "models[m]")
    assert isinstance(found, list)
    assert [problem.path for problem in found] == ["models[m].config.categories.customer.z"]


@pytest.mark.parametrize("kind", FORMATS)
def test_no_broken_file_ends_the_process(kind: str) -> None:
    """In a process of its own: unchecked, more than a third of LightGBM's end it."""
    model_file(kind)
    command = [sys.executable, "-m", "tests.decision.learning.breaking_trees", kind, "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "of 300 accepted" in done.stdout
