"""The propensity of an offer, from the narrowest evidence that says enough.

Rules of this module:

1.  From 50 impressions on an offer speaks for itself: its positive rate. From 1 to 49 it is pulled to its
    parent's rate as if ten impressions had gone the parent's way: (positives + 10 × parent) / (n + 10).
2.  The parent is the category's rate (from 20 impressions), else the tenant's (from 10), else 0.5. Without
    impressions the offer's is the parent's.
3.  n is never below the positives, so a propensity is never above 1.
"""

from __future__ import annotations

from app.decision.entities import Offer
from app.decision.shared import Evidence, Tally

_OFFER_MIN, _CATEGORY_MIN, _TENANT_MIN = 50, 20, 10
_PARENT_WEIGHT = 10
_UNKNOWN = 0.5


def offer_propensity(evidence: Evidence, offer: Offer) -> float:
    """The probability (0–1) that a customer responds to an offer, as far as outcomes tell.

    Args:
        evidence: Sums over all customers of the tenant.
        offer: Whose `category_id` is its parent's.
    """
    tally = evidence.tally(f"offer/{offer.id}")
    n = _trials(tally)
    if n >= _OFFER_MIN:
        return tally.positives / n
    parent = _parent(evidence, offer)
    return (max(tally.positives, 0) + _PARENT_WEIGHT * parent) / (n + _PARENT_WEIGHT)


def _parent(evidence: Evidence, offer: Offer) -> float:
    for key, least in ((f"category/{offer.category_id}", _CATEGORY_MIN), ("tenant", _TENANT_MIN)):
        tally = evidence.tally(key)
        n = _trials(tally)
        if n >= least:
            return max(tally.positives, 0) / n
    return _UNKNOWN


def _trials(tally: Tally) -> int:
    return max(tally.impressions, tally.positives, 0)
