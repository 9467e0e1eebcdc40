"""What a fold observed that evidence is made of: impressions, and first positive responses.

Rules:

1.  Every contact that counts is an impression: a decision on an implicit channel, and a reported one. A
    reservation is none until it is reported.
2.  A positive is the first response of category response and class positive to a decision (recommendation and
    rank), among the customer's last 50 such decisions. Responses that name no recommendation all count.
3.  Duplicates, conflicts and refused records are no observations. A parked response gives its own when it is
    folded at last.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from app.decision.ids import stable_hash
from app.decision.records import Target
from app.decision.state import CREDITED_MAX, Customer, Shown


class Observation(msgspec.Struct, frozen=True):
    """One impression or positive response, and what model and variant it speaks about."""

    kind: Literal["impression", "positive"]
    offer_id: str
    creative_id: str
    category_id: str
    channel_id: str
    recommendation_id: str | None = None
    #: 1-based.
    rank: int | None = None
    experiment_id: str | None = None
    variant: str | None = None
    model_id: str | None = None
    features: tuple[float, ...] = ()


def shown_impression(shown: Shown, recommendation_id: str) -> Observation:
    """The impression that a decision on an implicit channel is."""
    return Observation(
        "impression",
        shown.offer_id,
        shown.creative_id,
        shown.category_id,
        shown.channel_id,
        recommendation_id,
        shown.rank,
        shown.experiment_id,
        shown.variant,
        shown.model_id,
        shown.features,
    )


def responded(kind: Literal["impression", "positive"], target: Target) -> Observation:
    """What a response about this target says."""
    return Observation(
        kind,
        target.offer_id,
        target.creative_id,
        target.category_id,
        target.channel_id,
        target.recommendation_id,
        target.rank,
        target.experiment_id,
        target.variant,
        target.model_id,
        target.features,
    )


def first_positive(customer: Customer, target: Target) -> bool:
    """Whether this response is the first positive one to its decision; the decision is credited with it."""
    if not target.positive:
        return False
    if target.recommendation_id is None:
        return True
    credited = stable_hash(target.recommendation_id, target.rank)
    if credited in customer.credited:
        return False
    customer.credited = [*customer.credited, credited][-CREDITED_MAX:]
    return True
