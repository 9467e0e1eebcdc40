"""Conditions: what holds, what does not, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.conditions import Environment, compile_condition, compile_leaf
from app.decision.operators import ALIASES, OPERATORS
from app.decision.problems import Problem
from tests.decision.documents import ANY_JSON, SCALARS

SPACES = ("customer", "context")
CUSTOMER = {
    "age": 30,
    "zero": 0,
    "yes": True,
    "no": False,
    "name": "Ann",
    "empty": "",
    "null": None,
    "tags": ["vip", 3, True],
    "a.b": 1,
    "born": "1990-05-01",
}
ENVIRONMENT: Environment = {"customer": CUSTOMER, "context": {"page": {"kind": "home", "depth": 2}}}


def holds(tree: Any) -> bool:
    compiled = compile_condition(tree, SPACES)
    assert not isinstance(compiled, list), compiled
    return compiled(ENVIRONMENT)


def leaf(field: str, operator: str, *value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, **({"value": value[0]} if value else {})}


@pytest.mark.parametrize(
    ("field", "operator", "value", "wanted"),
    [
        ("age", "eq", 30, True), ("age", "eq", 30.0, True), ("age", "eq", "30", False),
        ("yes", "eq", 1, False), ("yes", "eq", True, True), ("zero", "eq", False, False),
        ("age", "neq", 31, True), ("age", "neq", 30, False), ("name", "neq", 5, True),
        ("age", "gt", 30, False), ("age", "gt", 29.9, True), ("age", "gte", 30, True),
        ("age", "lt", 30, False), ("age", "lte", 30, True), ("yes", "gt", 0, False),
        ("name", "gt", 1, False), ("age", "gt", "1", False), ("born", "lt", "2000-01-01", True),
        ("name", "in", ["Bob", "Ann"], True), ("age", "in", ["30"], False), ("yes", "in", [1], False),
        ("name", "not_in", ["Bob"], True), ("name", "not_in", ["Ann"], False),
        ("tags", "in", ["gold", "vip"], True), ("tags", "not_in", ["vip"], False),
        ("tags", "contains", "vip", True), ("tags", "contains", 1, False), ("tags", "contains", True, True),
        ("name", "contains", "nn", True), ("name", "contains", 3, False), ("age", "contains", 3, False),
        ("name", "starts_with", "An", True), ("age", "starts_with", "3", False),
        ("a.b", "eq", 1, True), ("age.x", "eq", 1, False),
    ],
)  # fmt: skip
def test_operators(field: str, operator: str, value: Any, wanted: bool) -> None:
    assert holds(leaf(f"customer.{field}", operator, value)) is wanted


@pytest.mark.parametrize("field", ["missing", "null"])
@pytest.mark.parametrize("operator", list(OPERATORS))
def test_what_is_missing_fails_every_operator_unless_it_may_pass(field: str, operator: str) -> None:
    value: Any = ["x"] if operator in ("in", "not_in") else "x"
    assert holds(leaf(f"customer.{field}", operator, value)) is False
    passing = compile_leaf(f"customer.{field}", operator, value, SPACES, "", missing=True)
    assert not isinstance(passing, list)
    assert passing(ENVIRONMENT) is True


def test_existence() -> None:
    assert holds(leaf("customer.empty", "exists"))
    assert holds(leaf("customer.zero", "exists", True))
    assert not holds(leaf("customer.null", "exists"))
    assert holds(leaf("customer.missing", "not_exists"))
    assert not holds(leaf("customer.age", "not_exists"))


def test_trees() -> None:
    yes, no = leaf("customer.age", "eq", 30), leaf("customer.age", "eq", 31)
    assert holds({"all": [yes, {"not": no}]})
    assert not holds({"all": [yes, no]})
    assert holds({"any": [no, yes]})
    assert not holds({"any": [no, no]})
    assert holds({"not": leaf("customer.missing", "eq", 1)})


def test_nested_fields() -> None:
    assert holds(leaf("context.page.kind", "eq", "home"))
    assert not holds(leaf("context.page.kind.x", "eq", "home"))


def test_long_names_mean_the_short_ones() -> None:
    assert set(ALIASES.values()) <= {*OPERATORS, "exists", "not_exists"}
    assert holds(leaf("customer.age", "greater_than", 29))
    assert holds(leaf("customer.age", "less_than_or_equal", 30))


def nested(levels: int) -> Any:
    tree: Any = leaf("customer.age", "eq", 30)
    for _ in range(levels - 1):
        tree = {"all": [tree]}
    return tree


def test_depth_has_a_bound() -> None:
    assert holds(nested(64))
    problems = compile_condition(nested(65), SPACES)
    assert isinstance(problems, list)
    assert problems[0].path.startswith("condition.all[0].all[0]")
    assert isinstance(compile_condition(nested(100_000), SPACES), list)
    assert isinstance(compile_condition({"any": [nested(1)] * 1_001}, SPACES), list)


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        (None, ["condition"]),
        ([], ["condition"]),
        ({}, ["condition.field", "condition.operator"]),
        ({"all": []}, ["condition.all"]),
        ({"all": [], "any": []}, ["condition"]),
        ({"not": [1]}, ["condition.not"]),
        ({"any": [leaf("customer.x", "is", 1), leaf("data.x", "eq", 1)]},
         ["condition.any[0].operator", "condition.any[1].field"]),
        ({**leaf("customer.x", "eq", 1), "vlaue": 2}, ["condition.vlaue"]),
        (leaf("customer.", "eq", 1), ["condition.field"]),
        (leaf("customer", "eq", 1), ["condition.field"]),
        (leaf("customer.x", "eq"), ["condition.value"]),
        (leaf("customer.x", "gt", True), ["condition.value"]),
        (leaf("customer.x", "in", "abc"), ["condition.value"]),
        (leaf("customer.x", "in", [1, {}]), ["condition.value[1]"]),
        (leaf("customer.x", "starts_with", 1), ["condition.value"]),
        (leaf("customer.x", "exists", False), ["condition.value"]),
        (leaf("customer.x", "regex", "a"), ["condition.operator"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_path(tree: Any, paths: list[str]) -> None:
    problems = compile_condition(tree, SPACES)
    assert isinstance(problems, list)
    assert [problem.path for problem in problems] == paths


FIELDS = st.sampled_from(["customer.x", "customer.x.y", "context.p", "data.x", "", "customer."])
LEAVES = st.fixed_dictionaries(
    {"field": FIELDS | ANY_JSON, "operator": st.sampled_from([*OPERATORS, *ALIASES, "exists"]) | ANY_JSON},
    optional={"value": SCALARS | st.lists(SCALARS, max_size=3)},
)
TREES = st.recursive(
    LEAVES | ANY_JSON,
    lambda inner: (
        st.fixed_dictionaries({}, optional={"all": st.lists(inner, max_size=3), "not": inner})
        | st.fixed_dictionaries({"any": st.lists(inner, max_size=3)})
    ),
    max_leaves=6,
)


@settings(max_examples=500)
@given(tree=TREES, customer=st.dictionaries(st.sampled_from("xyz"), ANY_JSON), context=ANY_JSON)
def test_any_tree_compiles_or_is_refused_and_then_holds_or_not(
    tree: Any, customer: dict[str, Any], context: Any
) -> None:
    compiled = compile_condition(tree, SPACES)
    if isinstance(compiled, list):
        assert compiled
        assert all(isinstance(one, Problem) and one.path.startswith("condition") for one in compiled)
    else:
        assert compiled({"customer": customer, "context": {"p": context}}) in (True, False)
