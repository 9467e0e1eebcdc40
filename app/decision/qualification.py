"""Qualification rules: who may get a candidate, and who gets it less gladly.

Rules of this module:

1.  Rules are looked at in priority order (descending, then by id). The first hard rule in a candidate's
    scope that the customer fails removes it; every fit rule failed multiplies its score.
2.  What depends on the customer and the request alone is evaluated once a request, however many candidates
    it concerns; an expression that reads bare names depends on the offer too (see `failures`).
3.  An attribute condition's bare field is an attribute of the customer, a metric condition's a metric.
4.  An expression holds when its formula gives a truthy value; null does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

import msgspec

from app.decision.conditions import NAMESPACES, Condition, Environment, compile_leaf, field_reader
from app.decision.entities import Part, QualificationRule
from app.decision.formula import compile_formula
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.operators import ALIASES
from app.decision.problems import Problem, join
from app.decision.reasons import Reason, reason
from app.decision.scopes import ScopeMasks, Standing, resolve_scopes


class ConditionConfig(Part, frozen=True, kw_only=True):
    """A rule's config of kind attribute_condition or metric_condition."""

    field: str
    operator: str
    value: Any = None
    on_missing: Literal["fail", "pass"] = "fail"


class ExpressionConfig(Part, frozen=True, kw_only=True):
    """A rule's config of kind expression."""

    formula: str


class _Test(msgspec.Struct, frozen=True):
    """What a rule's config says, ready to evaluate."""

    holds: Condition
    #: What was compared, for a trace.
    numbers: Callable[[Environment], dict[str, Any]]
    #: The behavioural metrics that it reads, each with its path in the rule's document.
    metrics: tuple[tuple[str, str], ...] = ()
    #: Whether it reads the candidate's offer.
    by_offer: bool = False


class CompiledRule(msgspec.Struct, frozen=True):
    """A qualification rule ready to evaluate, with what its explanation shows."""

    reason: Reason
    hard: bool
    multiplier: float
    test: _Test

    @property
    def by_offer(self) -> bool:
        """Whether the rule reads the candidate's offer, and so is evaluated for each."""
        return self.test.by_offer

    @property
    def metrics(self) -> tuple[tuple[str, str], ...]:
        """The behavioural metrics that it reads, each with its path in the rule's document."""
        return self.test.metrics

    def numbers(self, environment: Environment) -> dict[str, Any]:
        """What was compared: of a condition field, operator, the value asked for and the one found; of an
        expression the formula and its result."""
        return self.test.numbers(environment)


def compile_rule(
    rule: QualificationRule, path: str = "config", names: Collection[str] | None = None
) -> CompiledRule | list[Problem]:
    """The rule ready to evaluate, or what is wrong with its config.

    Args:
        rule: The rule.
        path: Where its config stands.
        names: The custom fields that a formula may read; None for any.
    """
    test = _expression(rule, path, names) if rule.kind == "expression" else _condition(rule, path)
    if isinstance(test, list):
        return test
    return CompiledRule(
        reason=reason("qualify", rule.kind, rule.id),
        hard=rule.effect == "hard",
        multiplier=1.0 if rule.multiplier is None else rule.multiplier,
        test=test,
    )


def _condition(rule: QualificationRule, path: str) -> _Test | list[Problem]:
    config = load_struct(ConditionConfig, rule.config, path)
    if isinstance(config, list):
        return config
    home, allowed = _SPACES[rule.kind]
    field = config.field if config.field.partition(".")[0] in NAMESPACES else f"{home}.{config.field}"
    holds = compile_leaf(
        field, config.operator, config.value, allowed, path, missing=config.on_missing == "pass"
    )
    if isinstance(holds, list):
        return holds
    read = field_reader(field)
    operator = ALIASES.get(config.operator, config.operator)
    return _Test(
        holds,
        lambda environment: {
            "field": field,
            "operator": operator,
            "expected": config.value,
            "actual": read(environment),
        },
        (("config.field", field.removeprefix("metrics.")),) if home == "metrics" else (),
    )


#: By kind: the namespace of a bare field, and the namespaces allowed.
_SPACES: Mapping[str, tuple[str, frozenset[str]]] = {
    "attribute_condition": ("customer", NAMESPACES - {"metrics"}),
    "metric_condition": ("metrics", frozenset({"metrics"})),
}


def _expression(rule: QualificationRule, path: str, names: Collection[str] | None) -> _Test | list[Problem]:
    config = load_struct(ExpressionConfig, rule.config, path)
    if isinstance(config, list):
        return config
    formula = compile_formula(config.formula, names)
    if isinstance(formula, list):
        return [Problem(join(path, "formula"), one.in_words()) for one in formula]
    evaluate = formula.evaluate
    return _Test(
        lambda environment: bool(evaluate(environment)),
        lambda environment: {"formula": formula.text, "result": evaluate(environment)},
        tuple([("config.formula", metric) for metric in formula.metrics]),
        by_offer=bool(formula.names),
    )


class RuleBoard:
    """The qualification rules of one flow. Bit i is the i-th rule in order of precedence."""

    __slots__ = ("_fits", "_masks", "_once", "fit_by_offer", "hard_by_offer", "rules")

    def __init__(self, rules: list[QualificationRule], index: EntityIndex) -> None:
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
        compiled = [(rule, compile_rule(rule)) for rule in ordered]
        self.rules: list[CompiledRule] = []
        self._masks = ScopeMasks()
        self._fits = 0
        by_offer = 0
        for rule, ready in compiled:
            if isinstance(ready, list):
                continue
            bit = len(self.rules)
            self.rules.append(ready)
            if not ready.hard:
                self._fits |= 1 << bit
            if ready.by_offer:
                by_offer |= 1 << bit
            for where in resolve_scopes(rule.scopes, index):
                self._masks.add(where, bit)
        #: The rules that read the offer, hard and fit, as masks.
        self.hard_by_offer, self.fit_by_offer = by_offer & ~self._fits, by_offer & self._fits
        #: The bit and test of each rule that does not.
        self._once = [(1 << bit, rule.test.holds) for bit, rule in enumerate(self.rules) if not rule.by_offer]

    def mask(self, standing: Standing) -> int:
        """The rules that a candidate standing there is under."""
        return self._masks.mask(standing)

    def failed(self, environment: Environment) -> tuple[int, int]:
        """The hard rules and the fit rules that this customer fails whatever the offer, as masks."""
        failed = 0
        for bit, holds in self._once:
            if not holds(environment):
                failed |= bit
        return failed & ~self._fits, failed & self._fits

    def failed_by_offer(self, wanted: int, environment: Environment) -> int:
        """Which of some rules (a mask) fail in an offer's environment."""
        failed = 0
        while wanted:
            bit = wanted & -wanted
            wanted ^= bit
            if not self.rules[bit.bit_length() - 1].test.holds(environment):
                failed |= bit
        return failed

    def fit(self, failed: int) -> float:
        """The product of the multipliers of the fit rules in a mask: 1 for none."""
        fit = 1.0
        for bit, rule in enumerate(self.rules):
            if failed >> bit & 1:
                fit *= rule.multiplier
        return fit
