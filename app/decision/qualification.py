"""Qualification rules: who may get a candidate, and who gets it less gladly.

Rules of this module:

1.  Rules are looked at in priority order (descending, then by id). The first hard rule in a candidate's
    scope that the customer fails removes it; every fit rule failed multiplies its score.
2.  The kinds here depend on the customer and the request alone, so each is evaluated once a request,
    however many candidates it concerns.
3.  An attribute condition's bare field is an attribute of the customer, a metric condition's a metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from app.decision.conditions import Condition, Environment, Reader, compile_leaf, field_reader
from app.decision.entities import Part, QualificationRule
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.operators import ALIASES
from app.decision.problems import Problem
from app.decision.reasons import Reason, reason
from app.decision.scopes import ScopeMasks, Standing, resolve_scopes

#: What a field of a condition may begin with, in decisions.
NAMESPACES = frozenset({"customer", "metrics", "attributes", "context"})


class ConditionConfig(Part, frozen=True, kw_only=True):
    """A rule's config of kind attribute_condition or metric_condition."""

    field: str
    operator: str
    value: Any = None
    on_missing: Literal["fail", "pass"] = "fail"


class CompiledRule(msgspec.Struct, frozen=True):
    """A qualification rule ready to evaluate, with what its explanation shows."""

    reason: Reason
    kind: str
    hard: bool
    multiplier: float
    holds: Condition
    read: Reader
    field: str
    operator: str
    value: Any

    def numbers(self, environment: Environment) -> dict[str, Any]:
        """What was compared: field, operator, the value asked for and the one found."""
        return {
            "field": self.field,
            "operator": self.operator,
            "expected": self.value,
            "actual": self.read(environment),
        }


def compile_rule(rule: QualificationRule, path: str = "config") -> CompiledRule | list[Problem]:
    """The rule ready to evaluate, or what is wrong with its config."""
    if rule.kind not in _SPACES:
        return [Problem("kind", f"{rule.kind} is not evaluated in this version")]
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
    return CompiledRule(
        reason=reason("qualify", rule.kind, rule.id),
        kind=rule.kind,
        hard=rule.effect == "hard",
        multiplier=1.0 if rule.multiplier is None else rule.multiplier,
        holds=holds,
        read=field_reader(field),
        field=field,
        operator=ALIASES.get(config.operator, config.operator),
        value=config.value,
    )


#: By kind: the namespace of a bare field, and the namespaces allowed.
_SPACES: Mapping[str, tuple[str, frozenset[str]]] = {
    "attribute_condition": ("customer", NAMESPACES - {"metrics"}),
    "metric_condition": ("metrics", frozenset({"metrics"})),
}


class RuleBoard:
    """The qualification rules of one flow. Bit i is the i-th rule in order of precedence."""

    __slots__ = ("_fits", "_masks", "rules")

    def __init__(self, rules: list[QualificationRule], index: EntityIndex) -> None:
        ordered = sorted(rules, key=lambda rule: (-rule.priority, rule.id))
        compiled = [(rule, compile_rule(rule)) for rule in ordered]
        self.rules: list[CompiledRule] = []
        self._masks = ScopeMasks()
        self._fits = 0
        for rule, ready in compiled:
            if isinstance(ready, list):
                continue
            bit = len(self.rules)
            self.rules.append(ready)
            if not ready.hard:
                self._fits |= 1 << bit
            for where in resolve_scopes(rule.scopes, index):
                self._masks.add(where, bit)

    def mask(self, standing: Standing) -> int:
        """The rules that a candidate standing there is under."""
        return self._masks.mask(standing)

    def failed(self, environment: Environment) -> tuple[int, int]:
        """The hard rules and the fit rules that this customer fails, as masks."""
        failed = 0
        bit = 1
        for rule in self.rules:
            if not rule.holds(environment):
                failed |= bit
            bit <<= 1
        return failed & ~self._fits, failed & self._fits

    def fit(self, failed: int) -> float:
        """The product of the multipliers of the fit rules in a mask: 1 for none."""
        fit = 1.0
        for bit, rule in enumerate(self.rules):
            if failed >> bit & 1:
                fit *= rule.multiplier
        return fit
