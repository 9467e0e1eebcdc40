"""allow_override: customers whose contact policies are lifted.

Rules of this module:

1.  An override that holds lifts, in its scopes, every block of a policy that can be bypassed, whatever the
    priorities. It never lifts consent, budgets, or policies with `bypassable: false`.
2.  Without `when` it always holds.
3.  What it lets through still counts against the caps of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.decision.condition_fields import fields_read, metric_references
from app.decision.conditions import NAMESPACES, Condition, Environment, compile_condition
from app.decision.entities import ContactPolicy, Part
from app.decision.loading import load_struct
from app.decision.policies.rules import Reference, Rule
from app.decision.problems import Problem, join


class OverrideConfig(Part, frozen=True, kw_only=True):
    """For whom: a condition on `customer.*`, `metrics.*`, `attributes.*` and `context.*`."""

    when: dict[str, Any] | None = None


class Override(Rule, frozen=True):
    """Lifts what others block."""

    holds: Condition
    when: dict[str, Any] | None

    def references(self) -> Iterator[Reference]:
        """The behavioural metrics that its condition reads."""
        return metric_references(fields_read(self.when, "config.when"))


def allow_override(policy: ContactPolicy, at: str) -> Override | list[Problem]:
    """The override of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(OverrideConfig, policy.config, at)
    if isinstance(config, list):
        return config
    if config.when is None:
        return Override(_always, None)
    holds = compile_condition(config.when, NAMESPACES, join(at, "when"))
    return holds if isinstance(holds, list) else Override(holds, config.when)


def _always(environment: Environment) -> bool:
    return True
