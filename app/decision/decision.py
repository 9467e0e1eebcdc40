"""What is asked of a decision and what comes of it.

Rules of this module:

1.  Everything is a value; names are already ids (see `TenantCatalogue.resolve_channel`).
2.  `Decided` says for every candidate where it went: chosen, or counted under a reason in `removals`, or
    beyond the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from app.decision.state import Contact, Profile, Window
from app.decision.trace import Trace

LIMIT_MAX = 50


class PlacementRequest(msgspec.Struct, frozen=True):
    """A placement to fill, with at most `limit` decisions (1–50)."""

    placement_id: str
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)]


class DecisionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller wants decided.

    `limit` (1–50) counts when there are no placements; they are filled in their order, each to its own
    limit. With `deduplicate` no offer stands at two placements.
    """

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = 5
    channel_id: str | None = None
    channel_type: str | None = None
    placements: tuple[PlacementRequest, ...] = ()
    deduplicate: bool = True
    attributes: dict[str, Any] = {}
    context: dict[str, Any] = {}
    #: By id or key.
    exclude_offers: frozenset[str] = frozenset()
    exclude_creatives: frozenset[str] = frozenset()
    trace: bool = False


class CustomerView(msgspec.Struct):
    """What a decision reads of a customer: `contacts` are those folded and those of decisions under way."""

    customer_id: str
    profile: Profile | None = None
    metrics: Mapping[str, Window] = {}
    contacts: Sequence[Contact] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One ranked decision. `implicit_contact`: being made is itself the contact."""

    offer_id: str
    offer_name: str
    category_id: str
    category_name: str
    channel_id: str
    channel_name: str
    creative_id: str
    creative_name: str
    placement_id: str | None
    rank: int
    score: float
    content: dict[str, Any]
    personalization: dict[str, Any]
    score_explanation: dict[str, Any]
    selection_probability: float
    implicit_contact: bool


class Decided(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The decisions in order of rank, and the funnel that led to them.

    `removals` counts the candidates removed by reason, as in `frequency_cap:pol_1`.
    """

    decisions: tuple[Decision, ...]
    total_candidates: int
    after_qualification: int
    after_contact_policy: int
    removals: dict[str, int]
    degraded_scoring: bool = False
    trace: Trace | None = None
