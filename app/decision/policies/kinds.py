"""The kinds of contact policies: how each becomes the rule that it compares.

Rules of this module:

1.  A policy compiles to one rule or to everything that is wrong with it, never to an exception.
2.  `calendar` is refused where nothing is counted by it, `bypassable: false` where nothing is blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from app.decision.entities import ContactPolicy
from app.decision.policies.budgets import budget_exhausted
from app.decision.policies.caps import cooldown, customer_total_cap, frequency_cap
from app.decision.policies.hours import time_window
from app.decision.policies.overrides import allow_override
from app.decision.policies.relations import category_suppression, cross_channel_cap, mutual_exclusion
from app.decision.policies.rules import Rule
from app.decision.policies.states import metric_condition, segment_exclusion
from app.decision.policies.suppressions import outcome_based
from app.decision.problems import Problem, join

POLICY_KINDS: Mapping[str, Callable[[ContactPolicy, str], Rule | list[Problem]]] = {
    "frequency_cap": frequency_cap,
    "cooldown": cooldown,
    "budget_exhausted": budget_exhausted,
    "outcome_based": outcome_based,
    "segment_exclusion": segment_exclusion,
    "time_window": time_window,
    "mutual_exclusion": mutual_exclusion,
    "cross_channel_cap": cross_channel_cap,
    "customer_total_cap": customer_total_cap,
    "category_suppression": category_suppression,
    "metric_condition": metric_condition,
    "allow_override": allow_override,
}

#: Kinds whose windows may be calendar periods.
BY_CALENDAR = frozenset(
    {"frequency_cap", "mutual_exclusion", "cross_channel_cap", "customer_total_cap", "category_suppression"}
)
#: Kinds that hold for mandatory offers too, bypassable or not.
HOLDS_FOR_MANDATORY = frozenset({"frequency_cap", "cross_channel_cap", "budget_exhausted"})
#: Kinds that no override lifts, bypassable or not.
NEVER_LIFTED = frozenset({"budget_exhausted"})


def compile_policy(policy: ContactPolicy, at: str = "") -> Rule | list[Problem]:
    """What the policy compares, or everything wrong with it; `at` is put before every problem's path."""
    rule = POLICY_KINDS[policy.kind](policy, join(at, "config"))
    problems = list(_without_effect(policy, at))
    if not problems:
        return rule
    return [*problems, *rule] if isinstance(rule, list) else problems


def _without_effect(policy: ContactPolicy, at: str) -> Iterator[Problem]:
    """Settings that every policy has and this kind has no use for."""
    if policy.calendar and policy.kind not in BY_CALENDAR:
        message = f"has no effect on {policy.kind}, which counts in no calendar period; leave it out"
        yield Problem(join(at, "calendar"), message)
    if not policy.bypassable and policy.kind == "allow_override":
        yield Problem(join(at, "bypassable"), "has no effect on allow_override, which blocks nothing")
