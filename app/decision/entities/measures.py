"""What is counted of customers: outcome types, behavioural metrics, segments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from app.decision.entities.base import DurationMs, Entity, Name, Ref


class OutcomeType(Entity, frozen=True, kw_only=True):
    """Something a customer can do with what was shown."""

    key: Ref
    classification: Literal["positive", "neutral", "negative"]
    category: Literal["impression", "response"] = "response"


class BehaviouralMetric(Entity, frozen=True, kw_only=True):
    """A running figure of a customer's events."""

    key: Ref
    aggregate: Literal["count", "sum", "avg", "min", "max", "last", "distinct"]
    event_types: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(min_length=1)]
    field: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    #: Events that it counts, by a condition on `data.*`; none counts all.
    filter: dict[str, Any] | None = None
    window_ms: DurationMs | None = None


class Segment(Entity, frozen=True, kw_only=True):
    """Customers who meet a condition on attributes, tags and metrics."""

    name: Name
    filter: dict[str, Any]
