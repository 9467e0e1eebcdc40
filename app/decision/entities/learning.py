"""Experiments and models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from app.decision.entities.base import DurationMs, Entity, Instant, Part, Percent, Ref, Status
from app.decision.entities.flows import Scoring


class Variant(Part, frozen=True, kw_only=True):
    """One arm of an experiment: another creative for its offer, or another scoring for its flow."""

    key: Ref
    weight: Percent
    creative_id: Ref | None = None
    scoring: Scoring | None = None


class Experiment(Entity, frozen=True, kw_only=True):
    """A comparison of variants, by customer."""

    key: Ref
    status: Status = "draft"
    target: Literal["creative", "scoring"]
    offer_id: Ref | None = None
    variants: Annotated[tuple[Variant, ...], Meta(min_length=1, max_length=20)]
    control_variant: Ref
    holdout_percent: Percent = 0
    sticky_days: Annotated[int, Meta(ge=1, le=400)] = 30
    conversion_window_ms: DurationMs = 7 * 86_400_000
    start_at: Instant | None = None
    end_at: Instant | None = None


class Model(Entity, frozen=True, kw_only=True):
    """What estimates propensities, or explores."""

    key: Ref
    kind: Literal["scorecard", "logistic", "thompson", "epsilon_greedy", "trees"]
    config: dict[str, Any] = {}
    features: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=32)
    ] = ()
