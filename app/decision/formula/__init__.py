"""The formula language: docs/concepts/formulas.md describes it for those who write formulas."""

from __future__ import annotations

from app.decision.formula.dates import instant_ms
from app.decision.formula.formula import LENGTH_MAX, Formula, compile_formula
from app.decision.formula.functions import FUNCTIONS
from app.decision.formula.ordering import Cycle, order_computed
from app.decision.formula.parser import DEPTH_MAX
from app.decision.formula.problems import FormulaProblem
from app.decision.formula.values import Value

__all__ = [
    "DEPTH_MAX",
    "FUNCTIONS",
    "LENGTH_MAX",
    "Cycle",
    "Formula",
    "FormulaProblem",
    "Value",
    "compile_formula",
    "instant_ms",
    "order_computed",
]
