"""Candidates: (offer, creative) pairs with everything that a request would look up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from app.decision.computing import Computing
from app.decision.conditions import Environment
from app.decision.entities import Channel, Creative, Offer
from app.decision.policies import Claim
from app.decision.scopes import Standing


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An (offer, creative) pair, where it may be shown, with everything that a request would look up."""

    offer: Offer
    creative: Creative
    channel: Channel
    category_name: str
    standing: Standing
    #: Score before fit.
    base: float
    #: The qualification rules it is under for every customer, as a mask of the flow's `RuleBoard`.
    rules: int
    #: The filters of the flow that it fails for every customer, as a mask of the flow's `FilterBoard`.
    filters: int
    #: The policy entries that can remove it, as a mask of the flow's `PolicyBoard`.
    policies: int
    #: All that those policies see of it.
    claim: Claim
    #: The offer's schedule: from (inclusive) until (exclusive), epoch ms.
    start_ms: int
    end_ms: int
    #: Its place among equals in score: see rule 2 of `flow`.
    tie: tuple[Any, ...]
    fill: Callable[[Environment], dict[str, Any]]
    #: `offer.*` (computed fields aside) and `creative.*`, as templates, formulas and filters see them.
    offer_fields: Mapping[str, Any]
    creative_fields: Mapping[str, Any]
    #: Its computed fields; None when it has none.
    computing: Computing | None
    #: How many decisions of one answer its placement holds; None without a placement, or without a bound.
    max_slots: int | None = None


class Pool(msgspec.Struct, frozen=True):
    """The candidates for one channel and placement, in order of rank."""

    candidates: tuple[Candidate, ...] = ()
    #: The channels among them.
    channels: tuple[Channel, ...] = ()
    #: Whether any candidate has a schedule.
    scheduled: bool = False
    #: How many decisions the placement holds; None where there is no bound.
    max_slots: int | None = None
