"""Formulas to evaluate."""

from __future__ import annotations

from typing import Any

from app.decision.conditions import Environment
from app.decision.formula import Formula, FormulaProblem, Value, compile_formula

NOW_MS = 1_800_000_000_000


def environment(offer: dict[str, Any] | None = None, **namespaces: Any) -> Environment:
    """An environment in which all that is not said is empty."""
    empty: dict[str, Any] = {"customer": {}, "metrics": {}, "attributes": {}, "context": {}}
    return {**empty, "offer": offer or {}, "time": {"now_ms": NOW_MS}, **namespaces}


def compiled(text: str) -> Formula:
    """The formula, which must be right."""
    formula = compile_formula(text)
    assert isinstance(formula, Formula), (text, formula)
    return formula


def value(text: str, where: Environment | None = None) -> Value:
    """What a formula gives."""
    return compiled(text).evaluate(environment() if where is None else where)


def refused(text: object, *names: str) -> list[FormulaProblem]:
    """What is wrong with a text, when only these bare names exist (any, when none is given)."""
    problems = compile_formula(text, names or None)
    assert isinstance(problems, list), text
    assert problems
    return problems
