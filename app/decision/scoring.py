"""Scores: how good a candidate is for this customer.

Rules of this module:

1.  `priority_weighted` = priority/100 × weight/100 × fit, of the offer. A creative's weight is no part of
    it: it only decides between creatives of one offer that score the same.
2.  A score lies in 0–1 and depends on nothing but the offer and the fit rules the customer fails.
"""

from __future__ import annotations

from typing import Any

from app.decision.entities import Offer


def base_score(offer: Offer) -> float:
    """The score of an offer whose fit is 1; one division, so that 55 × 90 gives 0.495 exactly."""
    return offer.priority * offer.weight / 10_000


def explained(offer: Offer, fit: float, score: float) -> dict[str, Any]:
    """What a `priority_weighted` score was made of, as the answer shows it."""
    return {
        "method": "priority_weighted",
        "priority": offer.priority,
        "weight": offer.weight,
        "fit": fit,
        "finalScore": score,
    }
