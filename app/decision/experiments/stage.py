"""The experiment stage of one decision.

Rules of this module:

1.  A scoring experiment is asked before the score stage: the customer's variant scores, control by the flow's
    own scoring when it has none. A creative experiment is asked between score and rank.
2.  Of an offer under a creative experiment the creatives of other variants go. Its creatives outside the
    experiment go too where the variant's can be shown: on the same shelf and channel. If the variant's
    creative was removed before (by consent, a policy, a filter), no other variant's takes its place.
3.  Who is held out is decided for as if there were no experiment: by the flow's own scoring, and with
    control's creative among the others of the offer. The other variants' creatives are the experiment's only.
4.  A decision is shown as part of one experiment: that of its creative, else that of the flow's scoring.
5.  Only an assignment of which something is shown is remembered, at most `ASSIGNED_MAX` a decision.
6.  A decision without experiments pays for one look at an attribute. A variant is found when first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.decision.candidate import Candidate
from app.decision.decision import CustomerView, Decision, ExperimentShown
from app.decision.experiments.assignment import Arm, arm_of
from app.decision.experiments.compiled import CompiledExperiment, FlowExperiments
from app.decision.reasons import Reason, reason
from app.decision.scoring.scorer import Scorer
from app.decision.shelf import Removal, Shelf
from app.decision.state import ASSIGNED_MAX


class Arms:
    """Where one request's customer stands in the flow's experiments.

    Args:
        experiments: The flow's; None for none.
        customer: Whose arms they are.
        now_ms: The instant of the decision, epoch ms.
        held_out: Whether the tenant holds the customer out: then of every experiment.
    """

    __slots__ = ("_assigned", "_by_offer", "_customer_id", "_experiments", "_held_out", "_now_ms", "_scoring")

    def __init__(
        self, experiments: FlowExperiments | None, customer: CustomerView, now_ms: int, held_out: bool = False
    ) -> None:
        self._experiments = experiments
        self._customer_id = customer.customer_id
        self._assigned = customer.assigned
        self._now_ms = now_ms
        self._held_out = held_out
        self._by_offer: dict[str, Arm | None] = {}
        self._scoring: Arm | None = None
        if experiments is not None and experiments.scoring is not None:
            self._scoring = self._arm((experiments.scoring,))

    def scorer(self, own: Scorer) -> Scorer:
        """What scores this request: the variant's scoring, or the flow's own."""
        arm = self._scoring
        variant = None if arm is None else arm.variant
        return own if variant is None or variant.scorer is None else variant.scorer

    def choose_creatives(self, shelf: Shelf, traced: bool) -> None:
        """Take from a scored shelf what the customer's variants do not show."""
        experiments = self._experiments
        if experiments is None or not experiments.by_offer:
            return
        arms = {
            offer_id: arm
            for offer_id in {one.candidate.offer.id for one in shelf.scored} & experiments.by_offer.keys()
            if (arm := self._creative_arm(offer_id)) is not None
        }
        if not arms:
            return
        held = {
            (one.candidate.offer.id, one.candidate.channel.id)
            for one in shelf.scored
            if _is_own(one.candidate, arms.get(one.candidate.offer.id))
        }
        kept = []
        for one in shelf.scored:
            candidate = one.candidate
            arm = arms.get(candidate.offer.id)
            if arm is None or _stays(candidate, arm, (candidate.offer.id, candidate.channel.id) in held):
                kept.append(one)
            else:
                shelf.removed.append(Removal(candidate, _reason(arm), _numbers(arm) if traced else {}))
        shelf.scored = kept

    def shown(self, candidate: Candidate) -> ExperimentShown | None:
        """The experiment that a chosen candidate is part of."""
        arm = self._by_offer.get(candidate.offer.id)
        return _shown(arm) if arm is not None and _is_own(candidate, arm) else self.flow_shown()

    def flow_shown(self) -> ExperimentShown | None:
        """The experiment between scorings that all decisions of this request are part of."""
        return None if self._scoring is None else _shown(self._scoring)

    def to_remember(self, decisions: Iterable[Decision]) -> dict[str, str]:
        """The new assignments, variant by experiment id, among those of which something is shown."""
        found: dict[str, str] = {}
        for decision in decisions:
            for arm in (self._scoring, self._by_offer.get(decision.offer_id)):
                if arm is None or not arm.fresh or arm.variant is None or len(found) == ASSIGNED_MAX:
                    continue
                if arm is self._scoring or arm.variant.creative_id == decision.creative_id:
                    found[arm.experiment.experiment_id] = arm.variant.key
        return found

    def _creative_arm(self, offer_id: str) -> Arm | None:
        if offer_id not in self._by_offer and self._experiments is not None:
            self._by_offer[offer_id] = self._arm(self._experiments.by_offer[offer_id])
        return self._by_offer[offer_id]

    def _arm(self, experiments: tuple[CompiledExperiment, ...]) -> Arm | None:
        """The arm in the one that runs now; None when none does."""
        for experiment in experiments:
            if experiment.runs(self._now_ms):
                if self._held_out:
                    return Arm(experiment, None)
                return arm_of(experiment, self._customer_id, self._assigned, self._now_ms)
        return None


def _is_own(candidate: Candidate, arm: Arm | None) -> bool:
    """Whether a candidate shows the creative of the customer's variant."""
    return arm is not None and arm.variant is not None and candidate.creative.id == arm.variant.creative_id


def _stays(candidate: Candidate, arm: Arm, own_is_here: bool) -> bool:
    """Whether a candidate of the experiment's offer may still be chosen."""
    in_experiment = candidate.creative.id in arm.experiment.creative_ids
    if arm.variant is None:
        return not in_experiment or candidate.creative.id == arm.experiment.control.creative_id
    if candidate.creative.id == arm.variant.creative_id:
        return True
    return not in_experiment and not own_is_here


def _reason(arm: Arm) -> Reason:
    return reason("experiment", "experiment", arm.experiment.experiment_id)


def _numbers(arm: Arm) -> dict[str, object]:
    return {"holdout": True} if arm.variant is None else {"variant": arm.variant.key}


def _shown(arm: Arm) -> ExperimentShown | None:
    variant = arm.variant
    return (
        None
        if variant is None
        else ExperimentShown(arm.experiment.experiment_id, variant.key, variant.weight)
    )
