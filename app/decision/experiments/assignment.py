"""Which variant of an experiment a customer has.

Rules of this module:

1.  A variant is where the customer falls among the weights, in the order of the document: a bucket salted
    with the experiment's key. So any process assigns alike, and one experiment says nothing about another.
2.  It sticks: an assignment younger than `stickyDays` whose variant still exists holds, whatever the weights
    and the holdout say by now. Otherwise the customer is assigned anew.
3.  The experiment's holdout has a salt of its own: who is in it has no variant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import msgspec

from app.decision.experiments.compiled import CompiledExperiment, CompiledVariant
from app.decision.hashing import bucket
from app.decision.state import Assigned


class Arm(msgspec.Struct, frozen=True):
    """Where a customer stands in an experiment. `variant` is None for one that it holds out.

    `fresh` says that the assignment is new, or another than before: it is to be remembered.
    """

    experiment: CompiledExperiment
    variant: CompiledVariant | None
    fresh: bool = False


def arm_of(
    experiment: CompiledExperiment, customer_id: str, assigned: Mapping[str, Assigned], now_ms: int
) -> Arm:
    """Where a customer stands in a running experiment.

    Args:
        experiment: One that runs.
        customer_id: Whose arm it is.
        assigned: What the customer was assigned before, by experiment id.
        now_ms: The instant, epoch ms.
    """
    before = assigned.get(experiment.experiment_id)
    if before is not None and is_young(before, experiment.sticky_ms, now_ms):
        variant = experiment.variant(before.variant)
        if variant is not None:
            return Arm(experiment, variant)
    if holds_out(experiment, customer_id):
        return Arm(experiment, None)
    return Arm(experiment, drawn(experiment, customer_id), fresh=True)


def is_young(assigned: Assigned, sticky_ms: int, now_ms: int) -> bool:
    """Whether an assignment still holds: one exactly `sticky_ms` old does not."""
    return now_ms - assigned.assigned_ms < sticky_ms


def holds_out(experiment: CompiledExperiment, customer_id: str) -> bool:
    """Whether a customer is in the experiment's holdout."""
    percent = experiment.holdout_percent
    return percent > 0 and bucket(f"experiment-holdout/{experiment.key}", customer_id) < percent


def drawn(experiment: CompiledExperiment, customer_id: str) -> CompiledVariant:
    """The variant whose share of the buckets holds the customer's."""
    place = bisect_right(experiment.ends, bucket(f"experiment/{experiment.key}", customer_id))
    if place < len(experiment.variants):
        return experiment.variants[place]
    # The weights may sum to a hair less than 100.
    return next(one for one in reversed(experiment.variants) if one.weight > 0)
