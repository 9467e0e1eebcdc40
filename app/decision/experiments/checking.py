"""What can be wrong with an experiment: by itself, and among the tenant's other entities."""

from __future__ import annotations

import math
from collections.abc import Iterator

from app.decision.entities import DecisionFlow, Experiment, Variant
from app.decision.experiments.compiled import window_of
from app.decision.index import EntityIndex
from app.decision.problems import Problem
from app.decision.scoring.reading import scoring_references

_TOLERANCE = 1e-9


def variant_problems(experiment: Experiment) -> Iterator[Problem]:
    """What is wrong with an experiment's variants, seen together."""
    keys = [variant.key for variant in experiment.variants]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            yield Problem(f"variants[{i}].key", f"{key} is another variant's key already")
    total = math.fsum(variant.weight for variant in experiment.variants)
    if abs(total - 100) > _TOLERANCE:
        yield Problem("variants", f"weights must sum to 100, not {total:g}")
    if experiment.control_variant not in keys:
        yield Problem("controlVariant", f"must be the key of a variant: {', '.join(keys)}")


def window_problems(experiment: Experiment) -> Iterator[Problem]:
    """That it ends before it begins."""
    start_ms, end_ms = window_of(experiment)
    if end_ms <= start_ms:
        yield Problem("endAt", "must be later than startAt")


def target_problems(experiment: Experiment) -> Iterator[Problem]:
    """What does not go with what it is between."""
    creative = experiment.target == "creative"
    if creative and experiment.offer_id is None:
        yield Problem("offerId", "is required for target creative: the offer of the variants' creatives")
    if not creative and experiment.offer_id is not None:
        yield Problem("offerId", "has no effect with target scoring; leave it out")
    for i, variant in enumerate(experiment.variants):
        if creative:
            yield from _creative_variant(f"variants[{i}]", variant)
        else:
            control = variant.key == experiment.control_variant
            yield from _scoring_variant(f"variants[{i}]", variant, control)


def _creative_variant(at: str, variant: Variant) -> Iterator[Problem]:
    if variant.creative_id is None:
        yield Problem(f"{at}.creativeId", "is required for target creative")
    if variant.scoring is not None:
        yield Problem(f"{at}.scoring", "has no effect with target creative; leave it out")


def _scoring_variant(at: str, variant: Variant, control: bool) -> Iterator[Problem]:
    if variant.creative_id is not None:
        yield Problem(f"{at}.creativeId", "has no effect with target scoring; leave it out")
    if variant.scoring is None and not control:
        yield Problem(f"{at}.scoring", "is required: only the control variant may have the flow's own")


def references_of(experiment: Experiment) -> Iterator[tuple[str, str, str]]:
    """What its variants refer to: path, reference, kind."""
    for i, variant in enumerate(experiment.variants):
        if variant.creative_id is not None:
            yield f"variants[{i}].creativeId", variant.creative_id, "creatives"
        if variant.scoring is not None:
            yield from scoring_references(variant.scoring, f"variants[{i}].scoring")


def tenant_problems(at: str, experiment: Experiment, index: EntityIndex) -> Iterator[Problem]:
    """What its creatives, and other experiments, have against an experiment that stands at `at`."""
    offer = index.offer(experiment.offer_id)
    if experiment.target != "creative" or offer is None:
        return
    for i, variant in enumerate(experiment.variants):
        creative = index.creative(variant.creative_id)
        if creative is not None and creative.offer_id != offer.id:
            yield Problem(
                f"{at}.variants[{i}].creativeId",
                f"{creative.id} is of offer {creative.offer_id}, not {offer.id}",
            )
    for other in index.all("experiments", Experiment):
        if other.id < experiment.id and other.offer_id == offer.id and _collide(experiment, other):
            yield Problem(
                f"{at}.offerId",
                f"{other.id} is active on {offer.id} at the same time; an offer has one experiment at a time",
            )


def _collide(one: Experiment, other: Experiment) -> bool:
    """Whether two experiments with the same offer would assign its creatives at some instant."""
    if other.target != "creative" or (one.status, other.status) != ("active", "active"):
        return False
    (start, end), (other_start, other_end) = window_of(one), window_of(other)
    return start < other_end and other_start < end


def flow_problems(at: str, flow: DecisionFlow, index: EntityIndex) -> Iterator[Problem]:
    """What is wrong with the experiment that a flow at `at` names."""
    experiment = index.find("experiments", flow.experiment_id, Experiment)
    if experiment is not None and experiment.target != "scoring":
        yield Problem(
            f"{at}.experimentId",
            f"{experiment.id} is between creatives: it applies wherever its offer is decided; leave it out",
        )
