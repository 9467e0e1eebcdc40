"""The part of a score that the operator sets."""

from __future__ import annotations

from app.decision.entities import Offer


def base_score(offer: Offer) -> float:
    """The `priority_weighted` score of an offer whose fit is 1, in 0–1.

    One division, so that 55 × 90 gives 0.495 exactly.
    """
    return offer.priority * offer.weight / 10_000
