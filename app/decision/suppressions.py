"""Suppressions: what an outcome closed for a while.

Rules:

1.  A suppression holds in event time: a response reported late closes from when it happened, and nothing when
    that is over by now.
2.  Suppressions of one policy in one place that touch are one, under the id and outcome of the one that ends
    last.
3.  500 are kept, those that end last. Expired ones go when a decision or response is folded.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.decision.state import SUPPRESSIONS_MAX, Customer, Suppression


def suppress(customer: Customer, found: Sequence[Suppression], now_ms: int) -> None:
    """Keep what an outcome closes; what is over at `now_ms` (epoch ms) closes nothing."""
    kept = customer.suppressions
    for one in found:
        if one.until_ms > now_ms:
            kept = _with(kept, one)
    if len(kept) > SUPPRESSIONS_MAX:
        kept = sorted(kept, key=_end)[-SUPPRESSIONS_MAX:]
    customer.suppressions = kept


def lift_suppression(customer: Customer, suppression_id: str) -> bool:
    """Take a suppression away; False when the customer has none with this id."""
    kept = [one for one in customer.suppressions if one.suppression_id != suppression_id]
    lifted = len(kept) < len(customer.suppressions)
    customer.suppressions = kept
    return lifted


def drop_expired(customer: Customer, now_ms: int) -> None:
    """Forget the suppressions that are over at `now_ms`."""
    if any(one.until_ms <= now_ms for one in customer.suppressions):
        customer.suppressions = [one for one in customer.suppressions if one.until_ms > now_ms]


def _with(kept: list[Suppression], one: Suppression) -> list[Suppression]:
    """The suppressions with one more, joined with those that it touches."""
    apart: list[Suppression] = []
    for other in kept:
        if _touch(one, other):
            last = one if one.until_ms >= other.until_ms else other
            one = msgspec.structs.replace(last, from_ms=min(one.from_ms, other.from_ms))
        else:
            apart.append(other)
    return [*apart, one]


def _touch(one: Suppression, other: Suppression) -> bool:
    if _place(one) != _place(other):
        return False
    return one.from_ms <= other.until_ms and other.from_ms <= one.until_ms


def _place(one: Suppression) -> tuple[str, str, str]:
    return one.policy_id, one.dimension, one.entity_id


def _end(one: Suppression) -> int:
    return one.until_ms
