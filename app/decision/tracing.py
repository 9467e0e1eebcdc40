"""Writing a traced decision down.

Nothing here runs for a decision without a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.decision.candidate import Candidate
from app.decision.conditions import Environment
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.enrichment import enriched_values
from app.decision.formula import Value
from app.decision.plain import plain_fields
from app.decision.ranking import Ranked
from app.decision.reasons import LIMIT, in_words
from app.decision.scoring.scored import Scored
from app.decision.scoring.scorer import Method
from app.decision.shelf import Removal, Shelf
from app.decision.trace import (
    CandidateTrace,
    ComputeStage,
    EnrichStage,
    FilterStage,
    RankStage,
    ScoreStage,
    Trace,
)

#: Of a score's explanation. An expression's text would come again with each of hundreds of candidates.
_SAID_ELSEWHERE = frozenset({"finalScore", "fit", "expression"})
#: What the rank stage reports.
_AFTER_SCORE = ("experiment", "rank")


class Stopwatch:
    """Durations of stages, ms, by a monotonic probe; a later lap of the same name adds to it."""

    def __init__(self, probe: Callable[[], float]) -> None:
        self._probe = probe
        self._started = self._last = probe()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """What passed since the last lap belongs to this stage."""
        now = self._probe()
        self._laps[name] = self._laps.get(name, 0.0) + now - self._last
        self._last = now

    def of(self, name: str) -> float:
        """How long a stage took; 0 when it did not run."""
        return self._laps.get(name, 0.0)

    def total(self) -> float:
        """How long it took from the start to the last lap."""
        return self._last - self._started


def write_trace(
    request: DecisionRequest,
    customer: CustomerView,
    environment: Environment,
    computed: dict[str, dict[str, Value]],
    shelves: list[Shelf],
    filled: list[list[Ranked]],
    method: Method,
    watch: Stopwatch,
) -> Trace:
    """The trace of a decision that has been made.

    Args:
        request: What was asked.
        customer: Of whom.
        environment: What was known.
        computed: The computed values by offer id.
        shelves: The candidates after all stages.
        filled: What was chosen from each shelf.
        method: What they were scored by.
        watch: What each stage took.
    """
    scores: dict[str, float] = {}
    for shelf in shelves:
        for one in shelf.scored:
            offer_id = one.candidate.offer.id
            scores[offer_id] = max(one.score, scores.get(offer_id, one.score))
    given: dict[str, Any] = {
        "customerId": customer.customer_id,
        "attributes": request.attributes,
        "context": request.context,
    }
    if request.segments:
        given["segments"] = sorted(request.segments)
    return Trace(
        stages=(
            EnrichStage(
                duration=watch.of("enrich"),
                input=plain_fields(given),
                output=plain_fields(enriched_values(environment)),
            ),
            ComputeStage(duration=watch.of("compute"), computed=plain_fields(computed)),
            _filter_stage(shelves, filled, method, watch),
            ScoreStage(duration=watch.of("score"), scores=scores),
            RankStage(
                duration=watch.of("rank"),
                final_order=tuple(one.scored.candidate.offer.id for ranked in filled for one in ranked),
                filtered=tuple(
                    _in_words(one)
                    for shelf in shelves
                    for one in shelf.removed
                    if one.reason.stage in _AFTER_SCORE and one.reason is not LIMIT
                ),
            ),
        ),
        total_duration=watch.total(),
    )


def _filter_stage(
    shelves: list[Shelf], filled: list[list[Ranked]], method: Method, watch: Stopwatch
) -> FilterStage:
    return FilterStage(
        duration=watch.of("filter"),
        candidates_in=sum(len(shelf.candidates) for shelf in shelves),
        candidates_out=sum(len(shelf.kept) for shelf in shelves),
        filtered=tuple(
            _in_words(one)
            for shelf in shelves
            for one in shelf.removed
            if one.reason.stage not in _AFTER_SCORE
        ),
        candidates=tuple(
            one
            for shelf, ranked in zip(shelves, filled, strict=True)
            for one in _verdicts(shelf, ranked, method)
        ),
    )


def _in_words(removal: Removal) -> str:
    return f"{removal.candidate.offer.id} ({in_words(removal.reason.label, removal.numbers)})"


def _verdicts(shelf: Shelf, ranked: list[Ranked], method: Method) -> list[CandidateTrace]:
    """What became of each candidate of a shelf, in the order of their rank before fit."""
    removed = {one.candidate.creative.id: one for one in shelf.removed}
    scored = {one.candidate.creative.id: one for one in shelf.scored}
    chosen = {one.scored.candidate.creative.id: one for one in ranked}
    return [
        _verdict(
            one,
            removed.get(one.creative.id),
            scored.get(one.creative.id),
            chosen.get(one.creative.id),
            method,
        )
        for one in shelf.candidates
    ]


def _verdict(
    candidate: Candidate,
    removal: Removal | None,
    scored: Scored | None,
    chosen: Ranked | None,
    method: Method,
) -> CandidateTrace:
    verdict = "chosen" if removal is None else "not_reached" if removal.reason is LIMIT else "removed"
    why = None if removal is None else removal.reason
    return CandidateTrace(
        offer_id=candidate.offer.id,
        creative_id=candidate.creative.id,
        channel_id=candidate.channel.id,
        placement_id=candidate.standing.placement_id,
        verdict=verdict,
        stage=None if why is None else why.stage,
        reason=None if why is None else why.kind,
        rule_id=None if why is None else why.rule_id,
        numbers={} if removal is None else plain_fields(removal.numbers),
        fit=None if scored is None else scored.fit,
        score=None if scored is None else scored.score,
        factors={} if scored is None else _factors(method.explain(scored)),
        rank=None if chosen is None else chosen.rank,
        selection_probability=None if chosen is None else chosen.probability,
        selection_draws=None if chosen is None else chosen.draws,
    )


def _factors(explanation: dict[str, Any]) -> dict[str, Any]:
    """What a score was made of, without what the candidate says beside it or the flow's document says."""
    return plain_fields({name: value for name, value in explanation.items() if name not in _SAID_ELSEWHERE})
