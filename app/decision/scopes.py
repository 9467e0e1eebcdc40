"""Where rules and policies hold, as bit masks.

Rules of this module:

1.  Every (rule or policy, scope) of a flow is one bit, in the order in which they take precedence. A
    candidate carries the mask of the bits whose scope it stands in; what blocks a customer is a mask too,
    so that a candidate's check is one AND, and its reason the lowest bit.
2.  A category scope holds for offers of the category and of its subcategories.
3.  A segment scope is about the customer, not the candidate: it holds nowhere, or, for a customer in the
    segment, everywhere. No standing has it; `of_segments` gives its bits for a customer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.decision.entities import Scope
from app.decision.index import EntityIndex

#: The kind that a scope's id refers to.
SCOPE_KINDS: dict[str, str] = {
    "channel": "channels",
    "category": "categories",
    "subcategory": "categories",
    "offer": "offers",
    "creative": "creatives",
    "placement": "placements",
    "segment": "segments",
}

#: A scope as it is looked up: dimension and id, (`global`, "") for everywhere. A subcategory's is `category`.
Where = tuple[str, str]
EVERYWHERE: Where = ("global", "")


class Standing(msgspec.Struct, frozen=True):
    """Where a candidate stands: what a scope can be about."""

    offer_id: str
    creative_id: str
    channel_id: str
    category_ids: tuple[str, ...]
    placement_id: str | None


def resolve_scopes(scopes: tuple[Scope, ...], index: EntityIndex) -> tuple[Where, ...]:
    """The scopes by id, each once, in document order; none means everywhere. What is missing is left out."""
    if not scopes:
        return (EVERYWHERE,)
    found: dict[Where, None] = {}
    for scope in scopes:
        kind = SCOPE_KINDS.get(scope.scope)
        if kind is None:
            found[EVERYWHERE] = None
            continue
        entity_id = index.id_of(kind, scope.id or "")
        if entity_id is not None:
            dimension = "category" if kind == "categories" else scope.scope
            found[(dimension, entity_id)] = None
    return tuple(found)


class ScopeMasks:
    """The bits that hold where a candidate stands."""

    __slots__ = ("_by_segment", "_by_where", "_everywhere")

    def __init__(self) -> None:
        self._everywhere = 0
        self._by_where: dict[Where, int] = {}
        self._by_segment: dict[str, int] = {}

    def add(self, where: Where, bit: int) -> None:
        """Let a bit (0-based) hold in a scope."""
        if where == EVERYWHERE:
            self._everywhere |= 1 << bit
        elif where[0] == "segment":
            self._by_segment[where[1]] = self._by_segment.get(where[1], 0) | 1 << bit
        else:
            self._by_where[where] = self._by_where.get(where, 0) | 1 << bit

    def of_segments(self, in_segment: Callable[[str], bool]) -> int:
        """The bits that hold for every candidate because of the customer's segments."""
        mask = 0
        for segment_id, bits in self._by_segment.items():
            if in_segment(segment_id):
                mask |= bits
        return mask

    def mask(self, standing: Standing) -> int:
        """All bits that hold for a candidate standing there, whoever the customer is."""
        by_where = self._by_where
        if not by_where:
            return self._everywhere
        mask = self._everywhere
        mask |= by_where.get(("offer", standing.offer_id), 0)
        mask |= by_where.get(("creative", standing.creative_id), 0)
        mask |= by_where.get(("channel", standing.channel_id), 0)
        for category_id in standing.category_ids:
            mask |= by_where.get(("category", category_id), 0)
        if standing.placement_id is not None:
            mask |= by_where.get(("placement", standing.placement_id), 0)
        return mask
