"""Models: documents are compiled or refused, and every row has a propensity or None."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.learning.epsilon_greedy import EpsilonGreedy
from app.decision.learning.logistic import EMPTY
from app.decision.learning.models import KINDS, BanditModel, LogisticModel, Model, RowModel, compile_model
from app.decision.learning.scorecard import logistic
from app.decision.learning.thompson import Thompson
from app.decision.problems import Problem
from tests.decision.documents import ANY_JSON, SCALARS

BLANK: dict[str, object] = {}


def compiled(kind: str, config: object = None, features: object = None) -> Model:
    model = compile_model(kind, config, features)
    assert not isinstance(model, list | BanditModel), model
    return model


def problems(kind: object, config: object = None, features: object = None) -> list[tuple[str, str]]:
    found = compile_model(kind, config, features, "models[m]")
    assert isinstance(found, list)
    return [(problem.path, problem.message) for problem in found]


def card(*features: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"features": list(features), **settings}


AGE = {
    "field": "customer.age",
    "bins": [{"below": 18, "points": -2}, {"below": 65, "points": 1}, {"points": 3}],
}
CITY = {"field": "customer.city", "values": {"Oslo": 0.5, "true": 2}, "missing": -0.25}
VISITS = {"field": "metrics.visits", "weight": 0.1, "missing": 0.7}


@pytest.mark.parametrize(
    ("features", "row", "points"),
    [
        ([AGE], {"customer.age": 17.9}, -2),
        ([AGE], {"customer.age": 18}, 1),
        ([AGE], {"customer.age": 65}, 3),
        ([AGE], {"customer.age": 10**400}, 0),
        ([AGE], {"customer.age": "18"}, 0),
        ([AGE], {}, 0),
        ([CITY], {"customer.city": "Oslo"}, 0.5),
        ([CITY], {"customer.city": True}, 2),
        ([CITY], {"customer.city": "Rome"}, -0.25),
        ([CITY], {}, -0.25),
        ([VISITS], {"metrics.visits": 7}, 0.7),
        ([VISITS], {"metrics.visits": math.inf}, 0.7),
        ([AGE, CITY, VISITS], {"customer.age": 20, "customer.city": "Oslo", "metrics.visits": 0}, 1.5),
    ],
)
def test_scorecard_points(features: list[dict[str, Any]], row: dict[str, Any], points: float) -> None:
    (found,) = compiled("scorecard", card(*features, base=-1, scale=2)).propensities([row.get]).values
    assert found == pytest.approx(logistic((points - 1) / 2))


def test_a_scorecard_in_points_that_double_the_odds() -> None:
    """Twenty points double the odds: even odds at 600 points, 2:1 at 620."""
    model = compiled("scorecard", card({"field": "offer.x", "weight": 1}, base=-600, scale=20 / math.log(2)))
    assert model.propensities([{"offer.x": 600}.get, {"offer.x": 620}.get]).values == pytest.approx(
        [1 / 2, 2 / 3]
    )


F, S = "customer.x", "scorecard"
REFUSED: list[tuple[object, object, object, str, str]] = [
    (None, None, None, "kind", "must be one of"),
    ("oracle", {}, [], "kind", "must be one of"),
    (S, {}, [], "config.features", "is required"),
    (S, card(), [], "config.features", "1 to 32 fields"),
    (S, card({"field": F, "weight": 1}), [F], "features", "in its config"),
    (S, card({"field": "x", "weight": 1}), [], "config.features[0].field", "must be one of"),
    (S, card({"field": F}), [], "config.features[0]", "exactly one of"),
    (S, card({"field": F, "weight": 1, "values": {"a": 1}}), [], "config.features[0]", "exactly one of"),
    (S, card({"field": F, "weight": "1"}), [], "config.features[0].weight", "must be"),
    (S, card({"field": F, "weight": 1}, scale=0), [], "config.scale", "must be"),
    (S, card({**AGE, "bins": [{"points": 1}, {"points": 2}]}), [],
     "config.features[0].bins[0].below", "required"),
    (S, card({**AGE, "bins": [{"below": 2, "points": 1}, {"below": 2, "points": 2}]}), [],
     "config.features[0].bins[1].below", "must be above 2"),
    (S, card(AGE, AGE), [], "config.features[1].field", "there twice"),
    ("logistic", {}, [], "features", "1 to 32 fields"),
    ("logistic", {}, [f"customer.x{i}" for i in range(33)], "features", "1 to 32 fields"),
    ("logistic", {}, {}, "features", "must be a list"),
    ("logistic", {}, [F, 3], "features[1]", "must be a field"),
    ("logistic", {}, [F, "event.x"], "features[1]", "must be one of"),
    ("logistic", {"alpha": 0}, [F], "config.alpha", "must be"),
    ("logistic", {"rate": 1}, [F], "config.rate", "is not a field"),
    ("logistic", {"scales": {"customer.y": {}}}, [F], "config.scales.customer.y", "not one of the model's"),
    ("logistic", {"buckets": 8_193}, [F], "config.buckets", "at most 8192 with 1 features"),
    ("logistic", {"buckets": 257}, [f"customer.x{i}" for i in range(32)], "config.buckets", "may be 8,192"),
    ("thompson", {"alpha": 0}, [], "config.alpha", "must be"),
    ("thompson", {"draws": 1_001}, [], "config.draws", "must be"),
    ("thompson", {}, [F], "features", "leave the features out"),
    ("epsilon_greedy", {"min": 1.5}, [], "config.min", "must be"),
    ("epsilon_greedy", [], [], "config", "must be an object"),
    ("trees", {}, [F], "config.format", "is required"),
    ("trees", {"format": "pmml", "model": ""}, [F], "config.format", "must be one of"),
    ("trees", {"format": "onnx", "model": ""}, [], "features", "1 to 32 fields"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "config", "features", "path", "message"), REFUSED)
def test_a_wrong_document_is_refused_by_path(
    kind: object, config: object, features: object, path: str, message: str
) -> None:
    found = problems(kind, config, features)
    assert any(at == f"models[m].{path}" and message in said for at, said in found), found


def test_a_strategy_keeps_its_config() -> None:
    thompson = compile_model("thompson", {"draws": 7}, None)
    assert isinstance(thompson, BanditModel)
    assert thompson.strategy == Thompson(draws=7)
    greedy = compile_model("epsilon_greedy", {"min": 0.5}, [])
    assert isinstance(greedy, BanditModel)
    assert greedy.strategy == EpsilonGreedy(min=0.5)


@pytest.mark.parametrize(("fields", "buckets"), [(1, 8_192), (32, 256)])
def test_a_logistic_model_of_8192_coordinates_is_taken(fields: int, buckets: int) -> None:
    compiled("logistic", {"buckets": buckets}, [f"customer.x{i}" for i in range(fields)])


def test_a_logistic_model_speaks_once_it_has_learned() -> None:
    model = compiled("logistic", {}, ["customer.x"])
    assert isinstance(model, LogisticModel)
    assert list(model.propensities([BLANK.get]).values) == [None]
    state = model.regression.update(EMPTY, {"customer.x": 1}.get, False)
    expected = model.regression.predict(state, {"customer.x": 1}.get)
    assert list(model.at(state).propensities([{"customer.x": 1}.get]).values) == [expected]


@pytest.mark.parametrize("said", [math.nan, math.inf, -0.1, 1.1, None, True, "0.5"])
def test_what_is_no_probability_is_none(said: Any) -> None:
    assert list(RowModel((), lambda row: said).propensities([BLANK.get]).values) == [None]


def failing(field: str) -> object:
    raise RuntimeError(field)


def test_a_row_that_fails_does_not_cost_the_others_their_propensity() -> None:
    model = compiled("scorecard", card(AGE))
    found = model.propensities([BLANK.get, failing, {"customer.age": 20}.get]).values
    assert [each is None for each in found] == [False, True, False]


FEATURE = st.fixed_dictionaries(
    {},
    optional={
        "field": st.sampled_from(["customer.age", "offer.x", "x", ""]) | SCALARS,
        "bins": st.lists(st.dictionaries(st.sampled_from(["below", "points"]), SCALARS), max_size=3)
        | ANY_JSON,
        "values": st.dictionaries(st.text(max_size=3), SCALARS, max_size=3) | ANY_JSON,
        "weight": SCALARS,
        "missing": SCALARS,
    },
)
CONFIG = ANY_JSON | st.fixed_dictionaries(
    {},
    optional={
        "features": st.lists(FEATURE, max_size=3) | ANY_JSON,
        **dict.fromkeys(["base", "scale", "alpha", "beta", "draws", "start", "min", "decay", "l1"], SCALARS),
        "scales": st.dictionaries(st.sampled_from(["customer.age", "x"]), ANY_JSON, max_size=2),
        "format": st.sampled_from(["lightgbm", "xgboost", "onnx"]) | SCALARS,
        "model": ANY_JSON,
        "categories": ANY_JSON,
    },
)
FIELDS = st.lists(st.sampled_from(["customer.age", "offer.x", "metrics.m"]) | SCALARS, max_size=3) | ANY_JSON
ROWS = st.lists(
    st.dictionaries(
        st.sampled_from(
            [
                "customer.age",
                "offer.x",
                "offer.id",
                "evidence.impressions",
                "evidence.positives",
                "evidence.salt",
            ]
        ),
        ANY_JSON,
    ),
    max_size=3,
)


@given(st.sampled_from(list(KINDS)) | ANY_JSON, CONFIG, FIELDS, ROWS)
@settings(max_examples=200)
def test_any_document_is_compiled_or_refused(
    kind: object, config: object, features: object, rows: list[dict[str, object]]
) -> None:
    model = compile_model(kind, config, features, "models[m]")
    if isinstance(model, list):
        assert model
        assert all(isinstance(problem, Problem) and problem.path.startswith("models[m]") for problem in model)
        return
    if isinstance(model, BanditModel):
        assert kind in ("thompson", "epsilon_greedy")
        return
    found = model.propensities([row.get for row in rows]).values
    assert len(found) == len(rows)
    assert all(each is None or 0 <= each <= 1 for each in found)
