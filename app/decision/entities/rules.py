"""Qualification rules and contact policies, and where they hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Name, Part, Percent, Ref

ScopeKind = Literal[
    "global", "segment", "channel", "category", "subcategory", "offer", "creative", "placement"
]  # fmt: skip


class Scope(Part, frozen=True, kw_only=True):
    """Where a rule or policy holds. Every scope but `global` names what it is about by `id`."""

    scope: ScopeKind
    id: Ref | None = None


class QualificationRule(Entity, frozen=True, kw_only=True):
    """A condition that a candidate's customer must meet (hard), or that lowers its score (fit)."""

    name: Name
    kind: Literal[
        "segment_required",
        "attribute_condition",
        "metric_condition",
        "propensity_threshold",
        "recency_check",
        "expression",
    ]
    effect: Literal["hard", "fit"] = "hard"
    multiplier: Annotated[float, Meta(ge=0.1, le=1)] | None = None
    scopes: tuple[Scope, ...] = ()
    priority: Percent = 50
    config: dict[str, Any] = {}


class ContactPolicy(Entity, frozen=True, kw_only=True):
    """A promise of how often a customer may be contacted. No scopes means everywhere."""

    name: Name
    kind: Literal[
        "frequency_cap",
        "cooldown",
        "budget_exhausted",
        "outcome_based",
        "segment_exclusion",
        "time_window",
        "mutual_exclusion",
        "cross_channel_cap",
        "customer_total_cap",
        "category_suppression",
        "metric_condition",
        "allow_override",
    ]
    scopes: tuple[Scope, ...] = ()
    priority: Percent = 50
    bypassable: bool = True
    #: Count by calendar hour, day, week and month of the customer's time zone.
    calendar: bool = False
    config: dict[str, Any] = {}
