"""What stands against offers and creatives, as an explanation shows it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that stands against a candidate: `hard` keeps it out, `fit` lowers its score."""

    stage: str
    reason: str
    effect: Literal["hard", "fit"]
    rule_id: str | None = None
    rule_name: str | None = None
    #: What was compared.
    numbers: dict[str, Any] = {}


class CreativeEligibility(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether one creative may be shown."""

    creative_id: str
    creative_name: str
    channel_id: str
    placement_id: str | None
    eligible: bool
    reasons: list[Finding]


class OfferEligibility(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether an offer may be made at all; `reasons` are those that hold for all its creatives."""

    offer_id: str
    offer_name: str
    eligible: bool
    creatives: list[CreativeEligibility]
    reasons: list[Finding]
