"""Experiments, compiled: what a decision and the fold look up of them.

Rules of this module:

1.  An experiment runs whole or not at all: one with a variant that does not compile (an older record, say)
    is left out, since the customers of its other variants would be compared with nobody.
2.  It runs while it is active, from its start until just before its end.
3.  Of a creative experiment every variant has a creative; of a scoring experiment a variant without a
    scoring of its own has the flow's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate

import msgspec

from app.decision.entities import Experiment, Variant
from app.decision.index import EntityIndex
from app.decision.records import epoch_ms
from app.decision.scoring.scorer import Scorer, compile_scoring
from app.decision.state import DAY_MS

_EVER_MS = 2**63


class CompiledVariant(msgspec.Struct, frozen=True):
    """One arm. `weight` is its share of the customers, 0–100."""

    key: str
    weight: float
    creative_id: str | None = None
    scorer: Scorer | None = None


class CompiledExperiment(msgspec.Struct, frozen=True):
    """An experiment ready to assign. `offer_id` is None for one between scorings."""

    experiment_id: str
    key: str
    active: bool
    offer_id: str | None
    variants: tuple[CompiledVariant, ...]
    control: CompiledVariant
    #: Where each variant's share of the buckets ends, 0–100, in the order of the variants.
    ends: tuple[float, ...]
    #: The creatives of all variants.
    creative_ids: frozenset[str]
    holdout_percent: float
    sticky_ms: int
    conversion_window_ms: int
    #: From (inclusive) until (exclusive), epoch ms.
    start_ms: int
    end_ms: int

    def runs(self, now_ms: int) -> bool:
        """Whether it assigns at an instant, epoch ms."""
        return self.active and self.start_ms <= now_ms < self.end_ms

    def variant(self, key: str) -> CompiledVariant | None:
        """The variant with a key; None when there is none any more."""
        return next((variant for variant in self.variants if variant.key == key), None)


def compile_experiment(experiment: Experiment, index: EntityIndex) -> CompiledExperiment | None:
    """The experiment ready to assign, or None when it cannot run whole.

    Args:
        experiment: Of any status; checked by `checking`.
        index: The tenant's entities.
    """
    offer = index.offer(experiment.offer_id)
    variants = [_compile_variant(experiment, variant, index) for variant in experiment.variants]
    whole = [variant for variant in variants if variant is not None]
    control = next((variant for variant in whole if variant.key == experiment.control_variant), None)
    if len(whole) != len(variants) or control is None or (experiment.target == "creative" and offer is None):
        return None
    if not any(variant.weight > 0 for variant in whole):
        return None
    start_ms, end_ms = window_of(experiment)
    return CompiledExperiment(
        experiment_id=experiment.id,
        key=experiment.key,
        active=experiment.status == "active",
        offer_id=None if offer is None or experiment.target == "scoring" else offer.id,
        variants=tuple(whole),
        control=control,
        ends=tuple(accumulate(variant.weight for variant in whole)),
        creative_ids=frozenset(variant.creative_id for variant in whole if variant.creative_id is not None),
        holdout_percent=experiment.holdout_percent,
        sticky_ms=experiment.sticky_days * DAY_MS,
        conversion_window_ms=experiment.conversion_window_ms,
        start_ms=start_ms,
        end_ms=end_ms,
    )


def _compile_variant(experiment: Experiment, variant: Variant, index: EntityIndex) -> CompiledVariant | None:
    if experiment.target == "creative":
        creative = index.creative(variant.creative_id)
        return None if creative is None else CompiledVariant(variant.key, variant.weight, creative.id)
    if variant.scoring is None:
        return CompiledVariant(variant.key, variant.weight)
    scorer = compile_scoring(variant.scoring, index)
    return None if isinstance(scorer, list) else CompiledVariant(variant.key, variant.weight, None, scorer)


def window_of(experiment: Experiment) -> tuple[int, int]:
    """When it may run: from (inclusive) until (exclusive), epoch ms."""
    return _instant_ms(experiment.start_at, -_EVER_MS), _instant_ms(experiment.end_at, _EVER_MS)


def _instant_ms(at: datetime | None, otherwise: int) -> int:
    return otherwise if at is None else epoch_ms(at)


class Experiments:
    """A tenant's experiments that can run whole, of any status."""

    __slots__ = ("_by_id", "_by_offer")

    def __init__(self, experiments: Iterable[CompiledExperiment] = ()) -> None:
        self._by_id = {one.experiment_id: one for one in experiments}
        self._by_offer: dict[str, tuple[CompiledExperiment, ...]] = {}
        for one in self._by_id.values():
            if one.offer_id is not None:
                self._by_offer[one.offer_id] = (*self._by_offer.get(one.offer_id, ()), one)

    def get(self, experiment_id: str | None) -> CompiledExperiment | None:
        """The experiment with an id."""
        return None if experiment_id is None else self._by_id.get(experiment_id)

    def of_offer(self, offer_id: str) -> tuple[CompiledExperiment, ...]:
        """The experiments between creatives of an offer."""
        return self._by_offer.get(offer_id, ())

    def of_flow(self, experiment_id: str | None, offer_ids: Iterable[str]) -> FlowExperiments | None:
        """What can bear on a flow's decisions; None when nothing can.

        Args:
            experiment_id: The id of the scoring experiment that the flow names.
            offer_ids: The offers that the flow decides.
        """
        scoring = self.get(experiment_id)
        if scoring is not None and (not scoring.active or scoring.offer_id is not None):
            scoring = None
        by_offer = {}
        for offer_id in offer_ids:
            active = tuple(one for one in self.of_offer(offer_id) if one.active)
            if active:
                by_offer[offer_id] = active
        return FlowExperiments(scoring, by_offer) if scoring is not None or by_offer else None


class FlowExperiments(msgspec.Struct, frozen=True):
    """The active experiments of one flow: between its scorings, and between creatives by offer id."""

    scoring: CompiledExperiment | None
    by_offer: dict[str, tuple[CompiledExperiment, ...]]


#: What a tenant without experiments has.
NO_EXPERIMENTS = Experiments()


def compile_experiments(index: EntityIndex) -> Experiments:
    """All experiments of a tenant's entities that can run whole."""
    found = [compile_experiment(one, index) for one in index.all("experiments", Experiment)]
    return Experiments(one for one in found if one is not None)
