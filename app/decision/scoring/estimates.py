"""Propensities of the candidates of one request.

Rules of this module:

1.  Evidence is by offer, so each offer is estimated once. A request asks a model once for an offer at most,
    whoever wants to know: a rule asks for the offer it looks at, the score stage for all the others in one
    call. A bypassed model is not asked at all.
2.  A strategy (Thompson sampling, epsilon-greedy) gives the propensity itself, by the offer's own evidence.
    Another model stands where `learning.propensity` puts it, behind the evidence, or before it where the
    flow says so.
3.  A model that has nothing to say of a candidate costs that candidate its estimate, not the request: the
    evidence, or 0.5, takes its place. Only a model that fails, or takes over `TIMEOUT_MS` in
    all the calls of a request together, counts against its breaker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from app.decision.candidate import Candidate
from app.decision.learning.features import FeatureRow, number
from app.decision.learning.learner import decode_state, learning_key
from app.decision.learning.models import BanditModel, Compiled, LogisticModel, Model
from app.decision.learning.propensity import (
    CATEGORY_MIN,
    OFFER_FULL,
    TENANT_MIN,
    Estimate,
    propensity,
)
from app.decision.scoring.context import ScoringContext
from app.decision.shared import Evidence
from app.decision.state import FEATURE_TEXT_MAX, FeatureValue

#: All the calls of a model for one request may take this long together, ms.
TIMEOUT_MS = 25.0

TENANT_KEY = "tenant"


def offer_key(offer_id: str) -> str:
    """The key of an offer's evidence."""
    return f"offer/{offer_id}"


def category_key(category_id: str) -> str:
    """The key of a category's evidence."""
    return f"category/{category_id}"


class Estimator:
    """Estimates propensities, with a model or without.

    Args:
        model_id: The model's id, for its breaker; None without one.
        model: The compiled model.
        first: Who is asked first: the evidence, or the model.
    """

    def __init__(
        self,
        model_id: str | None = None,
        model: Compiled | None = None,
        first: Literal["evidence", "model"] = "evidence",
    ) -> None:
        self.model_id = model_id
        self.model = model
        self._first = first
        #: Under which its weights are evidence; None unless it learns.
        self.learning_key = (
            learning_key(model_id, model) if isinstance(model, LogisticModel) and model_id else None
        )
        self._bound: tuple[bytes, LogisticModel | None] | None = None

    @property
    def strategy(self) -> BanditModel | None:
        """The strategy that explores, when the model is one."""
        return self.model if isinstance(self.model, BanditModel) else None

    def estimates(self, candidates: Sequence[Candidate], context: ScoringContext) -> dict[str, Estimate]:
        """The propensity of each candidate's offer, by offer id."""
        offers = {one.offer.id: one for one in candidates}
        evidence = context.shared.evidence
        if isinstance(self.model, BanditModel):
            return {
                offer_id: _drawn(self.model, offer_id, evidence, context.salt) for offer_id in sorted(offers)
            }
        tenant = evidence.tally(TENANT_KEY)
        tallies = {
            offer_id: (
                evidence.tally(offer_key(offer_id)),
                evidence.tally(category_key(one.offer.category_id)),
            )
            for offer_id, one in offers.items()
        }
        if self._first == "model":
            asked = list(offers)
        else:
            asked = [
                offer_id
                for offer_id, (offer, category) in tallies.items()
                if offer.trials < OFFER_FULL and category.trials < CATEGORY_MIN and tenant.trials < TENANT_MIN
            ]
        said = self._ask([offers[offer_id] for offer_id in asked], context)
        found = {}
        for offer_id, (offer, category) in tallies.items():
            own = said.get(offer_id)
            if own is not None and self._first == "model":
                found[offer_id] = Estimate(own, "model")
            else:
                found[offer_id] = propensity(offer, category, tenant, _constant(own))
        return found

    def propensity_of(self, candidate: Candidate, context: ScoringContext) -> float:
        """The propensity (0–1) of one candidate, as rules ask for it: what a strategy draws is none."""
        estimator = self if self.strategy is None else _BY_EVIDENCE
        return estimator.estimates([candidate], context)[candidate.offer.id].value

    def _ask(self, candidates: Sequence[Candidate], context: ScoringContext) -> Mapping[str, float | None]:
        """What the model says of these candidates' offers; nothing without one, or while it is bypassed."""
        if self.model_id is None or self.model_id in context.shared.bypassed:
            return {}
        known = context.said(self.model_id)
        new = [one for one in candidates if one.offer.id not in known]
        model = self.bound(context.shared.evidence) if new else None
        if new and model is None and isinstance(self.model, LogisticModel):
            context.note_model(self.model_id, failed=True)
        if model is not None:
            started_ms = context.probe()
            said = model.propensities([context.row(one) for one in new])
            spent_ms = context.spend(self.model_id, context.probe() - started_ms)
            context.note_model(self.model_id, failed=said.failed or spent_ms > TIMEOUT_MS)
            known.update(zip([one.offer.id for one in new], said.values, strict=True))
        return known

    def features(self, row: FeatureRow) -> tuple[FeatureValue, ...]:
        """The values of the model's fields, for it to learn from what comes of the decision."""
        model = self.model
        if model is None or isinstance(model, BanditModel):
            return ()
        return tuple([_feature(row(field)) for field in model.fields])

    def bound(self, evidence: Evidence) -> Model | None:
        """The model with what it has learnt; None for a strategy, or when nothing can be made of that."""
        if isinstance(self.model, BanditModel):
            return None
        if not isinstance(self.model, LogisticModel) or self.learning_key is None:
            return self.model
        learnt = evidence.weights(self.learning_key)
        if not learnt:
            return self.model
        if self._bound is None or self._bound[0] is not learnt:
            self._bound = (learnt, _with(self.model, learnt))
        return self._bound[1]


_BY_EVIDENCE = Estimator()


def _with(model: LogisticModel, learnt: bytes) -> LogisticModel | None:
    try:
        return model.at(decode_state(learnt))
    except (ValueError, ArithmeticError):
        # msgspec's errors are ValueErrors; and numbers may be such that no weight comes of them.
        return None


def _feature(value: object) -> FeatureValue:
    """The value as the log carries it; None for what no model learns from."""
    if isinstance(value, str):
        return value[:FEATURE_TEXT_MAX]
    if isinstance(value, bool):
        return value
    return number(value)


def _drawn(model: BanditModel, offer_id: str, evidence: Evidence, salt: str) -> Estimate:
    tally = evidence.tally(offer_key(offer_id))
    return Estimate(model.strategy.score(offer_id, tally, salt), "model", tally.trials)


def _constant(value: float | None) -> Callable[[], float | None] | None:
    return None if value is None else lambda: value
