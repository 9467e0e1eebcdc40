"""One placement to fill, with its candidates on their way through the stages."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from app.decision.candidate import Candidate
from app.decision.decision import DecisionRequest
from app.decision.entities import Channel
from app.decision.flow import CompiledFlow
from app.decision.reasons import Reason
from app.decision.scoring.scored import Scored


class Removal(msgspec.Struct, frozen=True, gc=False):
    """A candidate removed, why, and (in a traced decision) what was compared."""

    candidate: Candidate
    reason: Reason
    numbers: dict[str, Any]


class Shelf:
    """What one placement, or the whole answer where none is asked for, is filled from.

    Invariant: every candidate of `candidates` is in `kept` or has one `Removal`.
    """

    __slots__ = ("candidates", "channels", "kept", "limit", "placement_id", "removed", "scored")

    def __init__(
        self,
        placement_id: str | None,
        limit: int,
        candidates: list[Candidate],
        channels: tuple[Channel, ...],
    ) -> None:
        self.placement_id = placement_id
        self.limit = limit
        self.candidates = candidates
        self.channels = channels
        self.kept = candidates
        self.scored: list[Scored] = []
        self.removed: list[Removal] = []


def stock(flow: CompiledFlow, request: DecisionRequest, now_ms: int, fallback: bool = False) -> list[Shelf]:
    """The shelves that a request asks for, in its order, with the offers on schedule now.

    Args:
        flow: Whose candidates they are.
        request: Which channel and placements are wanted.
        now_ms: Epoch ms; a schedule holds from its start until just before its end.
        fallback: Whether the flow's fallback offers are wanted.
    """
    if not request.placements:
        return [_shelf(flow, request, None, request.limit, now_ms, fallback)]
    shelves: list[Shelf] = []
    asked: Counter[str] = Counter()
    for placement in request.placements:
        placement_id, before = placement.placement_id, asked[placement.placement_id]
        asked[placement_id] += placement.limit
        shelves.append(_shelf(flow, request, placement_id, placement.limit, now_ms, fallback, before))
    return shelves


def _shelf(
    flow: CompiledFlow,
    request: DecisionRequest,
    placement_id: str | None,
    limit: int,
    now_ms: int,
    fallback: bool,
    asked_before: int = 0,
) -> Shelf:
    """One shelf; a placement asked for twice has its slots once."""
    pool = flow.pool(request.channel_id, request.channel_type, placement_id, fallback)
    if pool.scheduled:
        candidates = [one for one in pool.candidates if one.start_ms <= now_ms < one.end_ms]
    else:
        candidates = list(pool.candidates)
    if pool.max_slots is not None:
        limit = min(limit, max(pool.max_slots - asked_before, 0))
    return Shelf(placement_id, limit, candidates, pool.channels)
