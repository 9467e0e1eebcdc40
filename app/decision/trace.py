"""The record of how a decision came about, in the shape of the documented API.

Rules of this module:

1.  There are five stages, always, in this order: enrich, compute, filter, score, rank. Durations are ms.
2.  `filter.candidates` says of every candidate what became of it in the end, also when that was in a later
    stage; `filter.filtered` and `rank.filtered` say the same of the removed ones in words.
3.  Everything in it is JSON: see `plain`.
"""

from __future__ import annotations

from typing import Any

import msgspec


class CandidateTrace(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of one candidate. `verdict` is chosen, removed, or not_reached (beyond the limit)."""

    offer_id: str
    creative_id: str
    channel_id: str
    placement_id: str | None = None
    verdict: str
    #: Of a removed one: the stage (inventory, qualify, consent, contact_policy, filter, experiment, rank),
    #: the kind of rule or policy, its id, and what was compared.
    stage: str | None = None
    reason: str | None = None
    rule_id: str | None = None
    numbers: dict[str, Any] = {}
    #: Of one that was scored: what its fit rules left of it (0–1), its score, and what that was made of.
    fit: float | None = None
    score: float | None = None
    factors: dict[str, Any] = {}
    #: Of a chosen one: its rank (1-based), the probability (0–1) that it was picked for it, and how many
    #: draws that was estimated from, unless it is exact.
    rank: int | None = None
    selection_probability: float | None = None
    selection_draws: int | None = None


class EnrichStage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="name", tag="enrich"):
    """What was known: the request's input, and the customer's attributes and metrics."""

    duration: float
    input: dict[str, Any]
    output: dict[str, Any]


class ComputeStage(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="name", tag="compute"
):
    """Each offer's computed values."""

    duration: float
    computed: dict[str, dict[str, Any]]


class FilterStage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="name", tag="filter"):
    """Which candidates came in, which stayed, and why the others did not."""

    duration: float
    candidates_in: int
    candidates_out: int
    filtered: tuple[str, ...]
    candidates: tuple[CandidateTrace, ...]


class ScoreStage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="name", tag="score"):
    """Each offer's best score."""

    duration: float
    scores: dict[str, float]


class RankStage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="name", tag="rank"):
    """The offers in their final order, and the candidates passed over on the way."""

    duration: float
    final_order: tuple[str, ...]
    filtered: tuple[str, ...]


Stage = EnrichStage | ComputeStage | FilterStage | ScoreStage | RankStage


class Trace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A decision's stages and how long they took together, ms. Ids and times are the caller's to add."""

    stages: tuple[Stage, ...]
    total_duration: float
