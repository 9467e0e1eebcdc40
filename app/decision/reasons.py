"""Why a candidate was not chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from app.decision.plain import in_a_word


class Reason(msgspec.Struct, frozen=True, gc=False):
    """What removed candidates: the stage, the kind of thing, and which one. `label` names it in counts."""

    stage: str
    kind: str
    rule_id: str | None
    label: str


def reason(stage: str, kind: str, rule_id: str | None = None) -> Reason:
    """The reason, with its label: `frequency_cap:pol_1`, or just the kind where there is no rule."""
    return Reason(stage, kind, rule_id, kind if rule_id is None else f"{kind}:{rule_id}")


EXCLUDED_OFFER = reason("inventory", "excluded_offer")
EXCLUDED_CREATIVE = reason("inventory", "excluded_creative")
FLOOR = reason("rank", "floor")
SAME_OFFER = reason("rank", "one_creative_per_offer")
REPEATED = reason("rank", "deduplicate")
MAX_PER_CATEGORY = reason("rank", "max_per_category")
MAX_SLOTS = reason("rank", "max_slots")
LIMIT = reason("rank", "limit")


def lowest_bit(mask: int) -> int:
    """The place of the lowest bit set: which of several reasons comes first. `mask` is not 0."""
    return (mask & -mask).bit_length() - 1


def bits(mask: int) -> Iterator[int]:
    """The places of the bits set, lowest first: all the reasons in their order. `mask` is not negative."""
    while mask:
        yield lowest_bit(mask)
        mask &= mask - 1


def in_words(label: str, numbers: dict[str, Any]) -> str:
    """A reason with what was compared, on one line."""
    compared = " ".join(f"{name}={in_a_word(value)}" for name, value in numbers.items())
    return f"{label} {compared}" if compared else label
