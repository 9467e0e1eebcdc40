"""The propensity of an offer, from the narrowest evidence that says enough.

Rules of this module:

1.  From 50 impressions on an offer speaks for itself: its positive rate.
2.  From 1 to 49 it is pulled to its parent as if ten impressions had gone the parent's way: (positives + 10
    × parent rate) / (n + 10). This is the mean of a Beta posterior whose prior has weight 10.
3.  Without impressions it is the category's rate (from 20), else the tenant's (from 10), else the model's,
    else 0.5. The parent rate of rule 2 is found the same way.
4.  n is never below the positives, so a propensity is never above 1. What a model says counts only when it
    is a number in 0–1, and the model is asked only when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from app.decision.learning.evidence import Tally

OFFER_FULL, OFFER_ANY = 50, 1
CATEGORY_MIN, TENANT_MIN = 20, 10
PARENT_WEIGHT = 10
DEFAULT = 0.5

Source = Literal["offer", "category", "tenant", "model", "default"]


class Estimate(msgspec.Struct, frozen=True, rename="camel"):
    """A propensity in 0–1, whose evidence it is, and from how many impressions (0 for a model's or none)."""

    value: float
    source: Source
    impressions: int = 0


def propensity(
    offer: Tally, category: Tally, tenant: Tally, model: Callable[[], float | None] | None
) -> Estimate:
    """The probability that the customer responds to the offer.

    Args:
        offer: Evidence for the offer itself.
        category: Evidence for all offers of its category.
        tenant: Evidence for all offers of the tenant.
        model: Gives this candidate's propensity by the flow's model; None without one.
    """
    n = offer.trials
    if n >= OFFER_FULL:
        return Estimate(offer.rate, "offer", n)
    parent = _parent(category, tenant, model)
    if n < OFFER_ANY:
        return parent
    positives = max(offer.positives, 0)
    return Estimate((positives + PARENT_WEIGHT * parent.value) / (n + PARENT_WEIGHT), "offer", n)


def _parent(category: Tally, tenant: Tally, model: Callable[[], float | None] | None) -> Estimate:
    if category.trials >= CATEGORY_MIN:
        return Estimate(category.rate, "category", category.trials)
    if tenant.trials >= TENANT_MIN:
        return Estimate(tenant.rate, "tenant", tenant.trials)
    said = None if model is None else model()
    if said is not None and 0.0 <= said <= 1.0:
        return Estimate(said, "model")
    return Estimate(DEFAULT, "default")
