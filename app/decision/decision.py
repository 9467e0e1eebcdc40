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

from app.decision.state import (
    Assigned,
    Contact,
    ContactTotal,
    FeatureValue,
    Profile,
    RecentEvent,
    Suppression,
    Window,
)
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
    #: Segments (by id) that the caller says the customer is in, where the tenant trusts callers.
    segments: frozenset[str] = frozenset()
    trace: bool = False


class CustomerView(msgspec.Struct):
    """What a decision reads of a customer.

    `contacts` are those folded, those of decisions under way, and those reserved; `assigned` likewise
    includes what decisions under way assigned.
    """

    customer_id: str
    profile: Profile | None = None
    metrics: Mapping[str, Window] = {}
    contacts: Sequence[Contact] = ()
    totals: Sequence[ContactTotal] = ()
    suppressions: Sequence[Suppression] = ()
    recent: Sequence[RecentEvent] = ()
    #: As of `Customer`: all events of this instant and later are among `recent`.
    recent_since_ms: int = 0
    assigned: Mapping[str, Assigned] = {}
    #: Whether a profile, event or response ever made the customer known.
    known: bool = True


class ExperimentShown(msgspec.Struct, frozen=True, rename="camel"):
    """The experiment that a decision is part of, its variant, and the variant's weight (0–100)."""

    experiment_id: str
    variant: str
    weight: float


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
    #: How many draws the selection probability was estimated from; None when it is exact.
    selection_draws: int | None
    implicit_contact: bool
    #: How long the decision reserves its contact, ms; 0 when it does not.
    reservation_ms: int = 0
    #: That of its creative, else that of the scoring.
    experiment: ExperimentShown | None = None
    #: The key of a model that learns from what comes of it, and the values of the model's fields.
    model_id: str | None = None
    features: tuple[FeatureValue, ...] = ()


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
    #: What the answer lacks, as `meta.degraded` says it.
    degraded: str | None = None
    control_group: bool = False
    #: New assignments by experiment id, for the decision record.
    assigned: dict[str, str] = {}
    #: The experiment between scorings that all decisions are part of.
    experiment: ExperimentShown | None = None
    #: The models asked, by id, each with whether it failed or overran: for the caller's breakers.
    asked_models: dict[str, bool] = {}
    trace: Trace | None = None
