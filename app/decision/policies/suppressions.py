"""outcome_based: what an outcome closes for a while.

Rules of this module:

1.  The fold writes a `Suppression` for each active policy that names the outcome, in each of its scopes in
    which the response stands; decisions read them. So a policy applies to outcomes from when it was there.
2.  It ends `suppressMs` after the outcome or, where that is not said, `lookbackMs` after it: at that very
    millisecond it no longer holds. An outcome stamped ahead of now holds at once.
3.  The scope of a segment is written for every customer: whether the customer is in it, the decision asks.
4.  The same outcome gives the same suppressions with the same ids, so a replay repeats them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.decision.entities import ContactPolicy, DurationMs, OutcomeType, Part, Ref
from app.decision.ids import stable_hash
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.outcomes import OUTCOME_ALIASES, SYSTEM_OUTCOMES
from app.decision.policies.rules import Reference, Rule
from app.decision.problems import Problem
from app.decision.scopes import EVERYWHERE, Standing, Where, resolve_scopes
from app.decision.state import Suppression


class OutcomeConfig(Part, frozen=True, kw_only=True):
    """Outcomes, by the key of their type, and for how long they close."""

    outcomes: Annotated[tuple[Ref, ...], Meta(min_length=1)]
    lookback_ms: DurationMs
    suppress_ms: DurationMs | None = None


class OutcomeBased(Rule, frozen=True):
    """Blocks while a suppression of its policy holds in scope."""

    outcomes: tuple[str, ...]
    length_ms: int

    def references(self) -> Iterator[Reference]:
        """Its outcome types, as far as they are not system ones."""
        for i, outcome in enumerate(self.outcomes):
            if outcome not in SYSTEM_OUTCOMES and outcome not in OUTCOME_ALIASES:
                yield f"config.outcomes[{i}]", outcome, "outcome-types"

    def keys(self, index: EntityIndex) -> tuple[str, ...]:
        """The canonical keys of its outcome types, each once."""
        keys: dict[str, None] = {}
        for outcome in self.outcomes:
            found = index.find("outcome-types", outcome, OutcomeType)
            key = outcome if found is None else found.key
            keys[OUTCOME_ALIASES.get(key, key)] = None
        return tuple(keys)


def outcome_based(policy: ContactPolicy, at: str) -> OutcomeBased | list[Problem]:
    """The rule of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(OutcomeConfig, policy.config, at)
    if isinstance(config, list):
        return config
    return OutcomeBased(config.outcomes, config.suppress_ms or config.lookback_ms)


class Closing(msgspec.Struct, frozen=True):
    """What an outcome closes under one policy, in the policy's scopes."""

    policy_id: str
    length_ms: int
    scopes: tuple[Where, ...]


#: By the canonical key of the outcome's type.
SuppressionIndex = Mapping[str, tuple[Closing, ...]]


def index_suppressions(policies: Iterable[ContactPolicy], index: EntityIndex) -> SuppressionIndex:
    """What each outcome closes under a tenant's active policies."""
    found: dict[str, tuple[Closing, ...]] = {}
    for policy in sorted(policies, key=lambda policy: policy.id):
        if policy.kind != "outcome_based" or policy.status != "active":
            continue
        rule = outcome_based(policy, "config")
        if isinstance(rule, list):
            continue
        closing = Closing(policy.id, rule.length_ms, resolve_scopes(policy.scopes, index))
        for key in rule.keys(index):
            found[key] = (*found.get(key, ()), closing)
    return found


def suppressions_for(
    closings: SuppressionIndex, outcome_key: str, standing: Standing, at_ms: int
) -> list[Suppression]:
    """What an outcome closes, ordered by policy and scope; the same for the same outcome.

    Args:
        closings: The tenant's, as in `TenantCatalogue.suppressions`.
        outcome_key: The key of the outcome's type, or an alias of it.
        standing: Where the response stands.
        at_ms: When the outcome happened, epoch ms.
    """
    key = OUTCOME_ALIASES.get(outcome_key, outcome_key)
    return [
        _suppression(closing, where, key, at_ms)
        for closing in closings.get(key, ())
        for where in closing.scopes
        if stands_in(standing, where)
    ]


def _suppression(closing: Closing, where: Where, outcome: str, at_ms: int) -> Suppression:
    dimension, entity_id = where
    return Suppression(
        suppression_id=f"sup_{stable_hash(closing.policy_id, dimension, entity_id, at_ms):016x}",
        policy_id=closing.policy_id,
        dimension=dimension,
        entity_id=entity_id,
        outcome=outcome,
        from_ms=at_ms,
        until_ms=at_ms + closing.length_ms,
    )


def stands_in(standing: Standing, where: Where) -> bool:
    """Whether something stands in a scope; in a segment's everything does (rule 3)."""
    dimension, entity_id = where
    if where == EVERYWHERE or dimension == "segment":
        return True
    if dimension == "category":
        return entity_id in standing.category_ids
    found: Any = getattr(standing, f"{dimension}_id")
    return bool(found == entity_id)
