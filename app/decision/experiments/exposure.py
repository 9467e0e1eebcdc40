"""The fold of experiments: what a customer was assigned, exposed to and converted by.

Rules of this module:

1.  The first contact with a variant exposes the customer to it; once an assignment.
2.  The first positive response within the conversion window after that converts it; once an assignment. One
    exactly a window after the exposure, or before it, does not.
3.  A response speaks about the variants that its recommendation was part of. One that names no recommendation
    speaks about the experiment between creatives of its offer, whose variant the customer was exposed to.
    A contact that names none is one with the customer's own variant when it is with that variant's creative.
4.  A contact may be folded before the decision that assigned its variant, since order across topics is not
    in the log: it assigns then. A late one of a variant that the customer no longer has is not an exposure.
5.  A customer keeps `ASSIGNED_MAX` assignments. Past it those that no longer stick go first, then the oldest.
6.  An experiment that the catalogue no longer has is neither exposed nor converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from app.decision.experiments.assignment import is_young
from app.decision.experiments.compiled import Experiments
from app.decision.learning.evidence import Tally
from app.decision.records import DecisionMade, Target
from app.decision.state import ASSIGNED_MAX, Assigned, Customer

#: (experiment id, variant)
VariantRef = tuple[str, str]


_EXPOSURE, _CONVERSION = Tally(impressions=1), Tally(positives=1)


class VariantEvent(msgspec.Struct, frozen=True):
    """That a customer was exposed to a variant, or converted by it, for the first time of an assignment."""

    kind: Literal["exposure", "conversion"]
    experiment_id: str
    variant: str

    @property
    def evidence_key(self) -> str:
        """Under which it counts, an exposure as an impression and a conversion as a positive."""
        return variant_key(self.experiment_id, self.variant)

    @property
    def delta(self) -> Tally:
        """What it adds under that key."""
        return _EXPOSURE if self.kind == "exposure" else _CONVERSION


def variant_key(experiment_id: str, variant: str) -> str:
    """The key of a variant's evidence."""
    return f"variant/{experiment_id}/{variant}"


def decision_variants(
    customer: Customer, decision: DecisionMade, experiments: Experiments
) -> tuple[VariantEvent, ...]:
    """Remember what a decision assigned; returns the exposures that its own contacts are."""
    for experiment_id, variant in decision.assigned.items():
        experiment = experiments.get(experiment_id)
        sticky_ms = None if experiment is None else experiment.sticky_ms
        assign(customer, experiment_id, variant, decision.at_ms, sticky_ms, experiments)
    if not decision.contact_ranks:
        return ()
    named = [(decision.experiment_id, decision.variant)]
    named += [
        (one.experiment_id, one.variant) for one in decision.shown if one.rank in decision.contact_ranks
    ]
    return exposures(customer, _refs(named), decision.at_ms, experiments)


def response_variants(
    customer: Customer, target: Target, at_ms: int, experiments: Experiments
) -> tuple[VariantEvent, ...]:
    """The exposures that a response is, when it is a contact, or the conversions, when it is positive.

    Args:
        customer: Owned by this fold.
        target: What was responded to, as `responses.attributed` completed it.
        at_ms: The response's time, epoch ms.
        experiments: The tenant's.
    """
    if target.contact:
        direct = not target.recommendation_id
        refs = _seen(customer, target, at_ms, experiments) if direct else variants_of(target)
        return exposures(customer, refs, at_ms, experiments)
    return conversions(customer, target, at_ms, experiments) if target.positive else ()


def newly_assigned(decision: DecisionMade) -> dict[str, Assigned]:
    """What a decision assigns, by experiment id, as the fold will keep it."""
    return {one: Assigned(variant, decision.at_ms) for one, variant in decision.assigned.items()}


def variants_of(target: Target) -> list[VariantRef]:
    """The variants that what was responded to was part of, as its decision said."""
    return _refs([(target.experiment_id, target.variant), (target.flow_experiment_id, target.flow_variant)])


def _refs(named: Iterable[tuple[str | None, str | None]]) -> list[VariantRef]:
    return [(one, variant) for one, variant in named if one is not None and variant is not None]


def exposures(
    customer: Customer, refs: Iterable[VariantRef], at_ms: int, experiments: Experiments
) -> tuple[VariantEvent, ...]:
    """The first exposures that a contact is.

    Args:
        customer: Owned by this fold.
        refs: The variants that the contact was part of.
        at_ms: The contact's time, epoch ms.
        experiments: The tenant's.
    """
    found = []
    for experiment_id, variant in dict.fromkeys(refs):
        experiment = experiments.get(experiment_id)
        if experiment is not None and expose(
            customer, experiment_id, variant, at_ms, experiment.sticky_ms, experiments
        ):
            found.append(VariantEvent("exposure", experiment_id, variant))
    return tuple(found)


def conversions(
    customer: Customer, target: Target, at_ms: int, experiments: Experiments
) -> tuple[VariantEvent, ...]:
    """The conversions that a positive response is.

    Args:
        customer: Owned by this fold.
        target: What was responded to.
        at_ms: The response's time, epoch ms.
        experiments: The tenant's.
    """
    if not customer.assigned:
        return ()
    refs = variants_of(target) if target.recommendation_id else _direct(customer, target, experiments)
    found = []
    for experiment_id, variant in dict.fromkeys(refs):
        experiment = experiments.get(experiment_id)
        if experiment is not None and convert(
            customer, experiment_id, variant, at_ms, experiment.conversion_window_ms
        ):
            found.append(VariantEvent("conversion", experiment_id, variant))
    return tuple(found)


def _direct(customer: Customer, target: Target, experiments: Experiments) -> list[VariantRef]:
    return [
        (experiment.experiment_id, assigned.variant)
        for experiment in experiments.of_offer(target.offer_id)
        if (assigned := customer.assigned.get(experiment.experiment_id)) is not None
    ]


def _seen(customer: Customer, target: Target, at_ms: int, experiments: Experiments) -> Iterator[VariantRef]:
    """The variants that the customer has at an instant and whose creative a direct contact was with."""
    for experiment in experiments.of_offer(target.offer_id) if customer.assigned else ():
        assigned = customer.assigned.get(experiment.experiment_id)
        if assigned is None or not is_young(assigned, experiment.sticky_ms, at_ms):
            continue
        variant = experiment.variant(assigned.variant)
        if variant is not None and variant.creative_id == target.creative_id:
            yield experiment.experiment_id, variant.key


def assign(
    customer: Customer,
    experiment_id: str,
    variant: str,
    at_ms: int,
    sticky_ms: int | None,
    experiments: Experiments,
) -> None:
    """The customer has this variant from now on, unless it has it already.

    Args:
        customer: Owned by this fold.
        experiment_id: Of which experiment.
        variant: The variant's key.
        at_ms: When it was assigned, epoch ms.
        sticky_ms: How long an assignment holds; None when the catalogue does not say.
        experiments: The tenant's, by which others are forgotten past the bound.
    """
    before = customer.assigned.get(experiment_id)
    if (
        before is not None
        and before.variant == variant
        and (sticky_ms is None or is_young(before, sticky_ms, at_ms))
    ):
        return
    _keep(customer, experiment_id, Assigned(variant, at_ms), at_ms, experiments)


def expose(
    customer: Customer, experiment_id: str, variant: str, at_ms: int, sticky_ms: int, experiments: Experiments
) -> bool:
    """Whether this contact was the first of the assignment; it is noted then. Arguments as of `assign`."""
    before = customer.assigned.get(experiment_id)
    if before is None or (before.variant != variant and not is_young(before, sticky_ms, at_ms)):
        _keep(customer, experiment_id, Assigned(variant, at_ms, exposed_ms=at_ms), at_ms, experiments)
        return True
    if before.variant != variant or before.exposed_ms:
        return False
    customer.assigned[experiment_id] = msgspec.structs.replace(before, exposed_ms=at_ms)
    return True


def convert(customer: Customer, experiment_id: str, variant: str, at_ms: int, window_ms: int) -> bool:
    """Whether this positive response was the assignment's first in time; it is noted then.

    Args:
        customer: Owned by this fold.
        experiment_id: Of which experiment.
        variant: The variant that the response speaks about.
        at_ms: When the customer responded, epoch ms.
        window_ms: How long after the exposure a response still counts.
    """
    before = customer.assigned.get(experiment_id)
    if before is None or before.variant != variant or not before.exposed_ms or before.converted_ms:
        return False
    if not 0 <= at_ms - before.exposed_ms < window_ms:
        return False
    customer.assigned[experiment_id] = msgspec.structs.replace(before, converted_ms=at_ms)
    return True


def _keep(
    customer: Customer, experiment_id: str, assigned: Assigned, now_ms: int, experiments: Experiments
) -> None:
    others = customer.assigned
    if experiment_id not in others and len(others) >= ASSIGNED_MAX:
        del others[min(others, key=lambda one: _worth(one, others, now_ms, experiments))]
    others[experiment_id] = assigned


def _worth(
    experiment_id: str, assigned: Mapping[str, Assigned], now_ms: int, experiments: Experiments
) -> tuple[bool, int, str]:
    """What to forget first: what no longer sticks, then the oldest."""
    experiment, one = experiments.get(experiment_id), assigned[experiment_id]
    sticks = experiment is not None and is_young(one, experiment.sticky_ms, now_ms)
    return sticks, one.assigned_ms, experiment_id
