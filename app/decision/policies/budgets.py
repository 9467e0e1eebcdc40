"""budget_exhausted: offers and creatives whose budget is used up.

Rules of this module:

1.  A budget is a hard bound: it holds wherever its offer or creative is decided for, in every flow, also for
    mandatory offers and under an override, and also when no policy says so.
2.  A policy of this kind is the same bound under a name and a priority: it says under which policy, and
    before which others, the removal is reported in its scopes.
3.  What may still be spent comes from outside, in deliveries; candidates taken in this decision use it up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.decision.entities import Budget, ContactPolicy, Creative, Offer, Part
from app.decision.loading import load_struct
from app.decision.policies.rules import Rule
from app.decision.problems import Problem
from app.decision.shared import Budgets


class BudgetConfig(Part, frozen=True, kw_only=True):
    """Nothing to say: the budget is the offer's or the creative's."""


class BudgetExhausted(Rule, frozen=True):
    """Blocks a candidate when nothing is left of its offer's or its creative's budget."""


def budget_exhausted(policy: ContactPolicy, at: str) -> BudgetExhausted | list[Problem]:
    """The rule of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(BudgetConfig, policy.config, at)
    return config if isinstance(config, list) else BudgetExhausted()


def bounds(budget: Budget | None) -> bool:
    """Whether a budget says how much at all. What costs nothing spends nothing, whatever may be spent."""
    if budget is None:
        return False
    spend = (budget.max_spend_per_day, budget.max_spend_total) if budget.spend_per_delivery else ()
    return any(limit is not None for limit in (budget.max_per_day, budget.max_total, *spend))


def budget_problems(budget: Budget | None) -> list[Problem]:
    """What each field of a budget allows by itself but the budget does not."""
    if budget is None or budget.spend_per_delivery is not None:
        return []
    if budget.max_spend_per_day is None and budget.max_spend_total is None:
        return []
    return [Problem("budget.spendPerDelivery", "is required: what one delivery costs of the most to spend")]


def budget_keys(offer: Offer, creative: Creative) -> tuple[str, ...]:
    """The budgets that a candidate draws on, as `Budgets.room` knows them."""
    keys = []
    if bounds(offer.budget):
        keys.append(f"offer/{offer.id}")
    if bounds(creative.budget):
        keys.append(f"creative/{creative.id}")
    return tuple(keys)


class BudgetRooms:
    """What one request may still spend: each budget is asked for once."""

    __slots__ = ("_budgets", "_rooms", "_taken")

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._rooms: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def used_up(self, keys: tuple[str, ...]) -> str | None:
        """The first of these budgets with nothing left; None when all have something."""
        for key in keys:
            if self._room(key) <= self._taken.get(key, 0):
                return key
        return None

    def take(self, keys: tuple[str, ...]) -> None:
        """Count one delivery against each."""
        for key in keys:
            self._taken[key] = self._taken.get(key, 0) + 1

    def numbers(self, keys: tuple[str, ...]) -> Mapping[str, Any]:
        """Which budget has nothing left, and what it had."""
        key = self.used_up(keys)
        if key is None:
            return {}
        numbers: dict[str, Any] = {"budget": key, "room": self._room(key)}
        taken = self._taken.get(key)
        return {**numbers, "takenInThisDecision": taken} if taken else numbers

    def _room(self, key: str) -> int:
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = self._budgets.room(key)
        return room
