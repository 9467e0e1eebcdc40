"""Policies about the customer's state: segment_exclusion and metric_condition.

Rules of this module:

1.  Both block every candidate in scope, or none, so they are evaluated once a request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.decision.conditions import Condition, Reader, compile_leaf, field_reader
from app.decision.entities import ContactPolicy, Part, Ref
from app.decision.index import EntityIndex
from app.decision.loading import load_struct
from app.decision.operators import ALIASES
from app.decision.policies.rules import Moment, Reference, StateRule, ids_of, listed
from app.decision.problems import Problem, join


class SegmentExclusionConfig(Part, frozen=True, kw_only=True):
    """Segments whose customers are left alone."""

    segment_ids: Annotated[tuple[Ref, ...], Meta(min_length=1)]


class MetricConditionConfig(Part, frozen=True, kw_only=True):
    """A behavioural metric, by key or id, and what it must not be."""

    metric: Ref
    operator: str
    value: Any = None


class SegmentExclusion(StateRule, frozen=True):
    """Blocks when the customer is in one of the segments."""

    segment_ids: tuple[str, ...]

    def references(self) -> Iterator[Reference]:
        """Its segments."""
        return listed(self.segment_ids, "segmentIds", "segments")

    def resolved(self, index: EntityIndex) -> SegmentExclusion:
        """The rule with its segments by id."""
        return msgspec.structs.replace(self, segment_ids=ids_of(self.segment_ids, "segments", index))

    def blocks(self, moment: Moment) -> bool:
        """Whether the customer is in one."""
        return any(map(moment.in_segment, self.segment_ids))

    def numbers(self, moment: Moment) -> dict[str, Any]:
        """Those that the customer is in."""
        return {"segmentIds": [one for one in self.segment_ids if moment.in_segment(one)]}


class MetricCondition(StateRule, frozen=True):
    """Blocks when the condition on a behavioural metric holds."""

    metric: str
    operator: str
    value: Any
    holds: Condition
    read: Reader

    def references(self) -> Iterator[Reference]:
        """Its metric."""
        yield "config.metric", self.metric, "behavioral-metrics"

    def blocks(self, moment: Moment) -> bool:
        """Whether the condition holds."""
        return self.holds(moment.environment)

    def numbers(self, moment: Moment) -> dict[str, Any]:
        """The metric, what it was compared with, and what it is."""
        return {
            "metric": self.metric,
            "operator": self.operator,
            "threshold": self.value,
            "actual": self.read(moment.environment),
        }


def segment_exclusion(policy: ContactPolicy, at: str) -> SegmentExclusion | list[Problem]:
    """The rule of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(SegmentExclusionConfig, policy.config, at)
    return config if isinstance(config, list) else SegmentExclusion(config.segment_ids)


def metric_condition(policy: ContactPolicy, at: str) -> MetricCondition | list[Problem]:
    """The condition of a policy, or what is wrong with its config; `at` is the config's path."""
    config = load_struct(MetricConditionConfig, policy.config, at)
    if isinstance(config, list):
        return config
    metric = config.metric.removeprefix("metrics.")
    if not metric:
        return [Problem(join(at, "metric"), "must name a behavioural metric by key or id")]
    holds = compile_leaf(f"metrics.{metric}", config.operator, config.value, ("metrics",), at)
    if isinstance(holds, list):
        return holds
    operator = ALIASES.get(config.operator, config.operator)
    return MetricCondition(metric, operator, config.value, holds, field_reader(f"metrics.{metric}"))
