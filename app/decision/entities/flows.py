"""Decision flows: the settings of one way to decide."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Name, Part, Ref, Status, Unit


class Route(Part, frozen=True, kw_only=True):
    """A channel, a placement on it or both, whose requests a flow takes."""

    channel_id: Ref | None = None
    placement_id: Ref | None = None


class Inventory(Part, frozen=True, kw_only=True):
    """Which offers a flow considers; `ids` are categories or offers, by `scope`."""

    scope: Literal["all", "categories", "offers"] = "all"
    ids: tuple[Ref, ...] = ()


class Qualification(Part, frozen=True, kw_only=True):
    """The qualification rules of a flow: those listed, or all active ones."""

    rule_ids: tuple[Ref, ...] | Literal["all"] = "all"


class FlowPolicies(Part, frozen=True, kw_only=True):
    """The contact policies of a flow: those listed, or all active ones."""

    policy_ids: tuple[Ref, ...] | Literal["all"] = "all"


class Exponents(Part, frozen=True, kw_only=True):
    """How much propensity, relevance, impact and emphasis count in a formula score; they sum to 1."""

    p: Unit = 0.4
    r: Unit = 0.2
    i: Unit = 0.3
    e: Unit = 0.1


class Scoring(Part, frozen=True, kw_only=True):
    """How a flow scores a candidate, and the score under which it is dropped."""

    method: Literal["priority_weighted", "propensity", "formula", "expression"] = "priority_weighted"
    model_id: Ref | None = None
    #: Who is asked for a propensity first: the evidence of outcomes, or the model.
    propensity_from: Literal["evidence", "model"] = "evidence"
    weights: Exponents = Exponents()
    expression: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    floor: Unit = 0.0


class Enrichment(Part, frozen=True, kw_only=True):
    """Which attributes and metrics of the customer a flow may read; none listed means all."""

    fields: tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...] = ()


class Ranking(Part, frozen=True, kw_only=True):
    """How a flow orders candidates and what it takes of them."""

    max_per_category: Annotated[int, Meta(ge=1, le=50)] | None = None
    mandatory_first: bool = True
    one_creative_per_offer: bool = True


class DecisionFlow(Entity, frozen=True, kw_only=True):
    """The settings of one way to decide. Only an active flow decides."""

    name: Name
    status: Status = "draft"
    default: bool = False
    routes: tuple[Route, ...] = ()
    inventory: Inventory = Inventory()
    enrich: Enrichment = Enrichment()
    qualification: Qualification = Qualification()
    contact_policies: FlowPolicies = FlowPolicies()
    #: Conditions that every candidate must meet.
    filters: Annotated[tuple[dict[str, Any], ...], Meta(max_length=100)] = ()
    scoring: Scoring = Scoring()
    experiment_id: Ref | None = None
    ranking: Ranking = Ranking()
    fallback_offer_ids: Annotated[tuple[Ref, ...], Meta(max_length=50)] = ()
    latency_budget_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    unknown_customers: Literal["reject", "allow"] | None = None
