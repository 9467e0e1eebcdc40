"""A decision flow, compiled: its candidates, and what applies to each of them.

Rules of this module:

1.  A candidate is an (offer, creative) pair whose offer, categories, creative, channel and placement are all
    active. A creative without a placement fits every placement of its channel.
2.  Candidates stand in the order of their rank for a customer who fails no fit rule, so that most requests
    sort nothing: mandatory ones first (where the flow says so), then score and priority descending, then
    offer id, creative weight descending, creative id. The order does not depend on the catalogue's.
3.  Pools are kept, see `pools`; the result depends on the catalogue alone. A publish makes most of them, so
    that no request waits for them.
4.  Fallback offers need not be in the flow's inventory. Their pools stand in the order in which the flow
    lists them, then creative weight descending, then creative id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from app.decision.candidate import Candidate, Pool
from app.decision.computing import Computing, compile_computing
from app.decision.conditions import Condition
from app.decision.custom_fields import custom_fields_of
from app.decision.entities import (
    Channel,
    ContactPolicy,
    Creative,
    DecisionFlow,
    Entity,
    Offer,
    Placement,
    QualificationRule,
    TenantSettings,
)
from app.decision.experiments.compiled import NO_EXPERIMENTS, Experiments
from app.decision.filters import FilterBoard, creative_fields, offer_fields
from app.decision.hashing import bucket
from app.decision.index import EntityIndex
from app.decision.inventory import in_inventory
from app.decision.metrics import CompiledMetric
from app.decision.policies import PolicyBoard
from app.decision.pools import NO_POOL, Pools
from app.decision.qualification import RuleBoard
from app.decision.rendering import compile_content
from app.decision.schedule import schedule_ms
from app.decision.scopes import Standing
from app.decision.scoring.base import base_score
from app.decision.scoring.scorer import by_priority, compile_scoring
from app.decision.visibility import compile_visible

E = TypeVar("E", bound=Entity)


class Surroundings(msgspec.Struct, frozen=True):
    """What the flows of one tenant share. `metrics` are the active ones, by id and by key."""

    tenant_id: str = ""
    settings: TenantSettings = TenantSettings()
    metrics: Mapping[str, CompiledMetric] = {}
    #: The filters of the active segments, by id.
    segments: Mapping[str, Condition] = {}
    experiments: Experiments = NO_EXPERIMENTS


class CompiledFlow:
    """A decision flow ready to decide with."""

    __slots__ = (
        "_computing", "_fallback_pools", "_index", "_made", "_places", "_pools", "definition",
        "experiments", "falls_back", "filters", "flow_id", "offers_it", "policies", "rules", "scorer",
        "surroundings", "visible",
    )  # fmt: skip

    def __init__(self, flow: DecisionFlow, index: EntityIndex, surroundings: Surroundings) -> None:
        self.flow_id = flow.id
        self.definition = flow
        self.surroundings = surroundings
        self.visible = compile_visible(flow.enrich.fields, surroundings.metrics)
        self.filters = FilterBoard(flow.filters)
        self.rules = RuleBoard(
            chosen("qualification-rules", flow.qualification.rule_ids, index, QualificationRule), index
        )
        self.policies = PolicyBoard(
            chosen("contact-policies", flow.contact_policies.policy_ids, index, ContactPolicy), index
        )
        scorer = compile_scoring(flow.scoring, index)
        self.scorer = by_priority(flow.scoring.floor) if isinstance(scorer, list) else scorer
        self._index = index
        active = [offer for offer in index.all("offers", Offer) if self._is_active(offer)]
        #: Whether an offer is in the inventory, whatever its status.
        self.offers_it = in_inventory(flow, index)
        offers = {offer.id: offer for offer in active if self.offers_it(offer)}
        #: None when there is none.
        self.experiments = surroundings.experiments.of_flow(flow.experiment_id, offers)
        listed = [index.id_of("offers", reference) for reference in flow.fallback_offer_ids]
        #: The place of each fallback offer among them.
        self._places = {offer_id: place for place, offer_id in reversed(list(enumerate(listed)))}
        fallbacks = {offer.id: offer for offer in active if offer.id in self._places}
        #: Whether there are active offers to fall back to, schedules aside.
        self.falls_back = bool(fallbacks)
        self._pools = Pools(index, offers, self._place, self._order)
        self._fallback_pools = Pools(index, fallbacks, self._place, self._fallback_order)
        #: The candidates of all pools, by creative and placement.
        self._made: dict[tuple[str, str | None], Candidate] = {}
        #: By an offer's categories, since many offers share them.
        self._computing: dict[tuple[str, ...], Computing | None] = {}

    @property
    def allows_unknown(self) -> bool:
        """Whether it decides for customers whom nobody knows: the flow's word, else the tenant's."""
        own = self.definition.unknown_customers
        return (own or self.surroundings.settings.unknown_customers) == "allow"

    def holds_out(self, customer_id: str) -> bool:
        """Whether a customer is in the tenant's holdout."""
        percent = self.surroundings.settings.holdout_percent
        return percent > 0 and bucket(f"holdout/{self.surroundings.tenant_id}", customer_id) < percent

    def _is_active(self, offer: Offer) -> bool:
        """Whether an offer and its categories are active, schedule aside."""
        categories = self._index.categories_of(offer)
        return offer.status == "active" and all(map(self._is_active_category, categories))

    def _is_active_category(self, category_id: str) -> bool:
        category = self._index.category(category_id)
        return category is not None and category.status == "active"

    def pool(
        self,
        channel_id: str | None,
        channel_type: str | None,
        placement_id: str | None,
        fallback: bool = False,
    ) -> Pool:
        """The candidates wanted, by channel (id or key), channel type and placement (id or key).

        Args:
            channel_id: The only channel wanted; None for any.
            channel_type: The only type of channel wanted; None for any.
            placement_id: The placement to fill; None leaves each creative at its own, if it has one.
            fallback: Whether those of the fallback offers are wanted, in their order.
        """
        channel, placement = self._index.channel(channel_id), self._index.placement(placement_id)
        if (channel_id is not None and channel is None) or (placement_id is not None and placement is None):
            return NO_POOL
        pools = self._fallback_pools if fallback else self._pools
        return pools.pool(channel, channel_type, placement)

    def warm(self, room: int) -> int:
        """Make the pools of its inventory that requests can want; see `Pools.warm`."""
        return self._pools.warm(room)

    def _place(
        self, offer: Offer, creative: Creative, home: Channel, placement: Placement | None
    ) -> Candidate:
        """The candidate of a pool: one for each creative and the placement that it stands at."""
        key = creative.id, creative.placement_id if placement is None else placement.id
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self.candidate(offer, creative, home, placement)
        return found

    def _order(self, candidate: Candidate) -> tuple[Any, ...]:
        return order_key(self, candidate, candidate.base)

    def _fallback_order(self, candidate: Candidate) -> tuple[Any, ...]:
        return (self._places[candidate.offer.id], -candidate.creative.weight, candidate.creative.id)

    def stands_at(self, creative: Creative, home: Channel, placement: Placement | None) -> bool:
        """Whether a creative, whatever its status, fits a placement; None is any.

        `home` is the creative's channel.
        """
        if placement is None:
            return True
        own = self._index.placement(creative.placement_id)
        return placement.channel_id == home.id and (own is None or own.id == placement.id)

    def candidate(
        self, offer: Offer, creative: Creative, home: Channel, placement: Placement | None
    ) -> Candidate:
        """The candidate that an offer and a creative of it make at a placement, whatever their status.

        `home` is the creative's channel.
        """
        start_ms, end_ms = schedule_ms(offer)
        standing = Standing(
            offer_id=offer.id,
            creative_id=creative.id,
            channel_id=home.id,
            category_ids=self._index.categories_of(offer),
            placement_id=placement.id if placement is not None else creative.placement_id,
        )
        place = self._index.placement(standing.placement_id)
        category = self._index.category(offer.category_id)
        claim = self.policies.claim(offer, creative, standing)
        of_offer, of_creative = offer_fields(offer, self._custom_fields(offer)), creative_fields(creative)
        return Candidate(
            offer=offer,
            creative=creative,
            channel=home,
            category_name=category.name if category is not None else "",
            standing=standing,
            base=base_score(offer),
            rules=self.rules.mask(standing),
            filters=self.filters.always_failed(of_offer, of_creative),
            policies=claim.mask,
            claim=claim,
            start_ms=start_ms,
            end_ms=end_ms,
            tie=(-offer.priority, offer.id, -creative.weight, creative.id),
            fill=compile_content(creative.content, creative.format == "html"),
            offer_fields=of_offer,
            creative_fields=of_creative,
            computing=self._computing_of(standing.category_ids),
            max_slots=None if place is None else place.max_slots,
        )

    def _custom_fields(self, offer: Offer) -> Mapping[str, Any]:
        """The plain custom fields of an offer: what it says, else its categories' defaults."""
        fields: dict[str, Any] = {}
        for key, field in custom_fields_of(self._index.categories_of(offer), self._index).items():
            if field.type != "computed":
                fields[key] = field.default
        return {**fields, **{name: value for name, value in offer.fields.items() if value is not None}}

    def _computing_of(self, category_ids: tuple[str, ...]) -> Computing | None:
        if category_ids not in self._computing:
            self._computing[category_ids] = compile_computing(custom_fields_of(category_ids, self._index))
        return self._computing[category_ids]


def order_key(flow: CompiledFlow, candidate: Candidate, score: float) -> tuple[Any, ...]:
    """Where a candidate of this score stands: ascending keys give the order of rank."""
    first = candidate.offer.mandatory and flow.definition.ranking.mandatory_first
    return (not first, -score, candidate.tie)


def chosen(kind: str, listed: tuple[str, ...] | str, index: EntityIndex, cls: type[E]) -> list[E]:
    """The active entities that a flow lists, or all active ones."""
    if isinstance(listed, str):
        found = index.all(kind, cls)
    else:
        ids = {index.id_of(kind, reference) for reference in listed}
        found = [entity for entity in index.all(kind, cls) if entity.id in ids]
    return [entity for entity in found if entity.status == "active"]
