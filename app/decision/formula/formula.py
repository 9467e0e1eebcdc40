"""Formulas: compiled once, evaluated for any customer and offer.

Rules of this module:

1.  Any text is a `Formula` or a list of problems, each with its line and column; nothing raises.
2.  A text of more than `LENGTH_MAX` characters is refused before it is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from app.decision.conditions import NAMESPACES
from app.decision.formula.compiler import Compiler
from app.decision.formula.parser import parse
from app.decision.formula.problems import FormulaProblem, FormulaRefusal, problem_at
from app.decision.formula.tokens import tokenize
from app.decision.formula.values import Evaluate

LENGTH_MAX = 2_000
_SURROGATE = re.compile("[\ud800-\udfff]")


class Formula(msgspec.Struct, frozen=True, eq=False):
    """A formula ready to evaluate, and what it reads."""

    text: str
    #: The bare names that it reads: custom fields of the offer.
    names: frozenset[str]
    #: The fields that it reads, with their namespace: `customer.age`.
    fields: frozenset[str]
    #: Its value in an environment (bare names in `offer`, `now` as `time.now_ms`). Never raises.
    evaluate: Evaluate

    @property
    def metrics(self) -> list[str]:
        """The behavioural metrics that it reads, by key, in order."""
        return sorted(field[8:] for field in self.fields if field.startswith("metrics."))


def compile_formula(
    text: object, names: Collection[str] | None = None, namespaces: Collection[str] = NAMESPACES
) -> Formula | list[FormulaProblem]:
    """The formula ready to evaluate, or what is wrong with it, in the order of the text.

    Args:
        text: The formula; anything but text is refused.
        names: The bare names that exist; None for any.
        namespaces: What a field may begin with.
    """
    if not isinstance(text, str):
        return [FormulaProblem("the formula must be text", 1, 1)]
    refused = _refused(text)
    if refused is not None:
        return [refused]
    compiler = Compiler(text, names, namespaces)
    try:
        evaluate = compiler.compiled(parse(tokenize(text)))
    except FormulaRefusal as refusal:
        return [problem_at(text, refusal.at, refusal.message)]
    if compiler.problems:
        return sorted(compiler.problems, key=lambda problem: (problem.line, problem.column))
    return Formula(text, frozenset(compiler.names), frozenset(compiler.fields), evaluate)


def _refused(text: str) -> FormulaProblem | None:
    """Why a text is not even looked at."""
    if len(text) > LENGTH_MAX:
        return problem_at(text, LENGTH_MAX, f"the formula is longer than {LENGTH_MAX:,} characters")
    if not text.strip():
        return FormulaProblem("the formula is empty", 1, 1)
    found = _SURROGATE.search(text)
    return None if found is None else problem_at(text, found.start(), "the formula is not valid Unicode text")
