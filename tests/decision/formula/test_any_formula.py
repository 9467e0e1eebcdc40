"""Any text, any tree, any environment: nothing raises, everything ends, and a second reading agrees."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.formula import DEPTH_MAX, Formula, compile_formula
from app.decision.formula.values import TEXT_MAX
from tests.decision.documents import ANY_JSON
from tests.decision.formula.building import compiled, environment
from tests.decision.formula.reference import TREES, Tree, evaluated, written

PIECES = st.sampled_from(
    ["a", "`b-c`", "customer.x", "metrics.m", "now", "null", "true", "1", "0.5", "1e308", "9" * 19, "'t'",
     '"', "'", "`", "\\", "+", "-", "*", "/", "%", "(", ")", ",", "?", ":", "&&", "||", "!", "==", "!=", "<",
     "if(", "len(", "round(", "concat(", "coalesce(", "days_between(", "max(", "&", "|", "=", ".", "#", " ",
     "\n", "\t", "\x00", "é", "\ud800", "😀", "__class__", "x.__dict__", "lambda", "1e", "1.", ".5"]
)  # fmt: skip
ANY_TEXT = st.text(max_size=40) | st.lists(PIECES, max_size=30).map("".join)
WILD = ANY_JSON | st.sampled_from(
    [math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, 1e308, 5e-324, "x" * TEXT_MAX, "x" * 20_000,
     "ß" * TEXT_MAX, "\ud800", [[[1]]], (1, 2), {"x": {"x": 1}}, datetime(2026, 1, 1, tzinfo=UTC), b"x",
     "2026-02-30", "2026-01-01T24:00Z", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59",
     object(), 253_402_300_800_000]
)  # fmt: skip
SPACE = st.dictionaries(st.sampled_from(["a", "b-c", "x", "m", "q r"]), WILD)
ENVIRONMENTS = st.builds(environment, SPACE, customer=SPACE, metrics=SPACE, context=SPACE)


def assert_bounded(value: object) -> None:
    """A value is one that JSON and a template can carry."""
    assert type(value) in (int, float, str, bool, type(None))
    if isinstance(value, str):
        assert len(value) <= TEXT_MAX
    elif isinstance(value, int):
        msgspec.json.encode(value)
    assert not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=400)
@given(text=ANY_TEXT, where=ENVIRONMENTS)
def test_any_text_is_a_formula_or_is_refused_at_a_place_in_it(text: str, where: Any) -> None:
    formula = compile_formula(text)
    if isinstance(formula, Formula):
        assert_bounded(formula.evaluate(where))
        return
    lines = text.split("\n")
    assert formula
    for problem in formula:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@given(text=ANY_JSON)
def test_what_is_no_text_is_refused(text: object) -> None:
    if not isinstance(text, str):
        assert isinstance(compile_formula(text), list)


@settings(max_examples=500)
@given(tree=TREES, where=ENVIRONMENTS, spaced=st.booleans())
def test_a_second_reading_of_any_tree_agrees(tree: Tree, where: Any, spaced: bool) -> None:
    text = written(tree, spaced)
    formula = compile_formula(text)
    if not isinstance(formula, Formula):
        assert len(text) > 2_000 or "nested deeper" in formula[0].message, (text, formula)
        return
    value, wanted = formula.evaluate(where), evaluated(tree, where)
    assert_bounded(value)
    assert (type(value), value) == (type(wanted), wanted), text


@given(where=st.dictionaries(st.sampled_from(["offer", "customer", "time"]), st.just({"now_ms": None})))
def test_an_environment_that_lacks_namespaces_gives_null(where: Any) -> None:
    for text in ("a", "customer.x", "customer.x.y", "now", "len(a)", "len(customer.x)"):
        assert compiled(text).evaluate(where) is None


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("-", ""), ("!", ""), ("abs(", ")"), ("true ? 1 : ", ""), ("1 + (", ")"), ("if(1, ", ")"),
     ("true ? ", " : 2")],
)  # fmt: skip
def test_what_is_nested_too_deep_is_refused_and_the_rest_evaluates(opening: str, closing: str) -> None:
    levels = [
        isinstance(compile_formula(opening * n + "1" + closing * n), Formula) for n in range(DEPTH_MAX + 2)
    ]
    deepest = sum(levels) - 1
    assert levels == [True] * (deepest + 1) + [False] * (DEPTH_MAX + 1 - deepest)
    assert DEPTH_MAX // 2 <= deepest <= DEPTH_MAX
    assert_bounded(compiled(opening * deepest + "1" + closing * deepest).evaluate(environment()))
    far = compile_formula((opening * 1_000)[:1_990])
    assert isinstance(far, list)
    assert "nested deeper than 64 levels" in far[0].message


def test_parentheses_nest_to_the_limit_and_no_further() -> None:
    assert isinstance(compile_formula("(" * 64 + "1" + ")" * 64), Formula)
    assert isinstance(compile_formula("(" * 65 + "1" + ")" * 65), list)


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "%", "&&", "||"])
def test_chains_are_as_long_as_the_text_allows(sign: str) -> None:
    count = 1_999 // (len(sign) + 1)
    assert_bounded(compiled(sign.join("1" * count)).evaluate(environment()))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+".join(["a"] * 10), "x" * 10_000),
        ("+".join(["a"] * 11), None),
        ("concat(" + ",".join(["a"] * 10) + ")", "x" * 10_000),
        ("concat(" + ",".join(["a"] * 600) + ")", None),
        ("upper(sharp)", None),
        ("len(long)", None),
        ("long == null", True),
        ("*".join(["huge"] * 390), None),
        ("*".join(["9223372036854775807"] * 90), None),
        ("-big - 1", -(2**63)),
        ("-big - 2", None),
        ("abs(-big - 1)", None),
        ("big + 0.5", 2.0**63),
    ],
)
def test_what_would_grow_past_the_bounds_is_null(text: str, wanted: object) -> None:
    offer: dict[str, Any] = {
        "a": "x" * 1_000,
        "sharp": "ß" * 9_000,
        "long": "x" * 10_001,
        "huge": 1e308,
        "big": 2**63 - 1,
    }
    assert compiled(text).evaluate(environment(offer)) == wanted


@pytest.mark.parametrize(
    "piece",
    [
        "1+",
        "a*",
        "customer.a.a.a+",
        "max(1,2)+",
        "'x'+",
        "(1)-",
        "a<b&&",
        "!a||",
        "`q`/",
        "1e9%",
        "if(a,b,c)+",
    ],
)
def test_reading_and_evaluating_take_time_linear_in_the_text(piece: str) -> None:
    def calls(count: int) -> int:
        text = (piece * count) + "1"
        made = 0

        def count_call(frame: object, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_call)
        try:
            formula = compile_formula(text)
            if isinstance(formula, Formula):
                formula.evaluate(environment({"a": 1}))
        finally:
            sys.setprofile(None)
        assert isinstance(formula, Formula), formula
        return made

    most = 1_990 // len(piece) // 2
    once, twice, none = calls(most), calls(2 * most), calls(0)
    assert twice - none <= 2.2 * (once - none)
