"""What GET /customers/{id} shows beside the profile: what holds back decisions, and what happened last.

Instants are ISO 8601 in UTC. Lists have the bounds of the state itself (docs/concepts/contacts.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.decision import CustomerView
from app.decision.policies.counting import PolicyCounts
from app.decision.policies.zones import LocalClock
from app.decision.state import INTERACTIONS_MAX, Assigned, Customer, Interaction, Reserved, Suppression
from web.instants import iso_ms


class SuppressionShown(msgspec.Struct, rename="camel"):
    """What an outcome closed until an instant; without an entity, everything."""

    id: str
    policy_id: str
    dimension: str
    entity_id: str | None
    outcome: str
    from_: str = msgspec.field(name="from")
    until: str


class InteractionShown(msgspec.Struct, rename="camel"):
    """A response that counted."""

    interaction_id: str
    outcome: str
    offer_id: str
    creative_id: str | None
    channel_id: str | None
    recommendation_id: str | None
    rank: int | None
    timestamp: str


class ReservationShown(msgspec.Struct, rename="camel"):
    """A contact that a decision reserved."""

    recommendation_id: str
    rank: int
    offer_id: str
    creative_id: str
    channel_id: str
    placement_id: str | None
    reserved_at: str
    until: str


class VariantShown(msgspec.Struct, rename="camel"):
    """The variant of an experiment that the customer has; exposed and converted once, or not yet."""

    experiment_id: str
    variant: str
    assigned_at: str
    exposed_at: str | None
    converted_at: str | None


class Enrolment(msgspec.Struct, rename="camel"):
    """A journey that the customer is in. There are none yet."""

    journey_id: str


def policy_counts(view: CustomerView, catalogue: TenantCatalogue, now_ms: int) -> list[PolicyCounts]:
    """What each contact policy has counted of the customer at `now_ms` (epoch ms)."""
    time_zone = None if view.profile is None else view.profile.time_zone
    clock = LocalClock(now_ms, time_zone, catalogue.settings.time_zone)
    return catalogue.counting.counts(view, clock)


def suppressions_shown(customer: Customer, now_ms: int) -> list[SuppressionShown]:
    """The suppressions that hold at `now_ms` (epoch ms), those that end first at the front."""
    holding = [one for one in customer.suppressions if holds(one, now_ms)]
    return [_suppression(one) for one in sorted(holding, key=_end)]


def holds(suppression: Suppression, now_ms: int) -> bool:
    """Whether a suppression closes anything at `now_ms`."""
    return suppression.until_ms > now_ms


def interactions_shown(customer: Customer) -> list[InteractionShown]:
    """The last interactions, the one folded last at the front."""
    return [_interaction(one) for one in reversed(customer.interactions.entries[-INTERACTIONS_MAX:])]


def reservations_shown(reserved: Sequence[Reserved]) -> list[ReservationShown]:
    """Reservations that run, those that end first at the front."""
    return [_reservation(one) for one in sorted(reserved, key=_end)]


def variants_shown(assigned: Mapping[str, Assigned]) -> list[VariantShown]:
    """The customer's variants, by experiment."""
    return [
        VariantShown(
            experiment_id=experiment_id,
            variant=one.variant,
            assigned_at=iso_ms(one.assigned_ms),
            exposed_at=iso_ms(one.exposed_ms) if one.exposed_ms else None,
            converted_at=iso_ms(one.converted_ms) if one.converted_ms else None,
        )
        for experiment_id, one in sorted(assigned.items())
    ]


def _suppression(one: Suppression) -> SuppressionShown:
    return SuppressionShown(
        id=one.suppression_id,
        policy_id=one.policy_id,
        dimension=one.dimension,
        entity_id=one.entity_id or None,
        outcome=one.outcome,
        from_=iso_ms(one.from_ms),
        until=iso_ms(one.until_ms),
    )


def _interaction(one: Interaction) -> InteractionShown:
    return InteractionShown(
        interaction_id=one.interaction_id,
        outcome=one.outcome,
        offer_id=one.offer_id,
        creative_id=one.creative_id or None,
        channel_id=one.channel_id or None,
        recommendation_id=one.recommendation_id,
        rank=one.rank,
        timestamp=iso_ms(one.at_ms),
    )


def _reservation(one: Reserved) -> ReservationShown:
    return ReservationShown(
        recommendation_id=one.recommendation_id,
        rank=one.rank,
        offer_id=one.contact.offer_id,
        creative_id=one.contact.creative_id,
        channel_id=one.contact.channel_id,
        placement_id=one.contact.placement_id,
        reserved_at=iso_ms(one.contact.at_ms),
        until=iso_ms(one.until_ms),
    )


def _end(one: Reserved | Suppression) -> int:
    return one.until_ms
