"""Why not: for every offer whether a customer may get it, and everything that stands against it.

Rules of this module:

1.  A creative is eligible exactly when a decision with these arguments would keep it through its filter
    stage, and its first hard reason is the one that the decision's trace would give: same boards, same order.
2.  Nothing stops at the first reason: every hard rule, policy and filter that fails is named, in the order in
    which a decision looks at them, and fit rules after them, each with its multiplier.
3.  What a decision never looks at (an offer that is paused, say) is judged all the same, so that mending one
    thing does not uncover the next.
4.  Rank is not looked at: limits, floors and what other candidates leave room for are no eligibility. Neither
    are what a request excludes, and the fallback of a flow that overran its latency budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from app.decision.candidate import Candidate
from app.decision.consent import closed_channels
from app.decision.decision import CustomerView, DecisionRequest
from app.decision.enrichment import enrich
from app.decision.entities import Channel, ContactPolicy, Creative, Entity, Offer, QualificationRule
from app.decision.findings import CreativeEligibility, Finding, OfferEligibility
from app.decision.flow import CompiledFlow
from app.decision.index import EntityIndex
from app.decision.knowing import everything, knowledge
from app.decision.known import Known
from app.decision.offer_values import OfferValues
from app.decision.plain import plain_fields
from app.decision.policies import Assessment
from app.decision.reasons import Reason, bits, reason
from app.decision.schedule import on_schedule
from app.decision.scoring.context import ScoringContext
from app.decision.shared import NOTHING_SHARED, Shared

_OFFER = reason("inventory", "offer_status")
_CATEGORY = reason("inventory", "category_status")
_NOT_IN_INVENTORY = reason("inventory", "not_in_inventory")
_SCHEDULE = reason("inventory", "schedule")
_NO_CREATIVE = reason("inventory", "no_creative")
_CREATIVE = reason("inventory", "creative_status")
_CHANNEL = reason("inventory", "channel_status")
_PLACEMENT = reason("inventory", "placement_status")

#: What a reason's rule id names, by stage.
_NAMED_IN: dict[str, tuple[str, type[Entity]]] = {
    "qualify": ("qualification-rules", QualificationRule),
    "contact_policy": ("contact-policies", ContactPolicy),
    "consent": ("channels", Channel),
}


def eligibility(
    flow: CompiledFlow,
    index: EntityIndex,
    offers: Sequence[Offer],
    request: DecisionRequest,
    customer: CustomerView,
    now_ms: int,
    salt: str,
    probe: Callable[[], float],
    shared: Shared = NOTHING_SHARED,
) -> list[OfferEligibility]:
    """For each of these offers whether the customer may get it now, and why not.

    Args:
        flow: The flow that would decide.
        index: The tenant's entities.
        offers: Those asked about, of any status.
        request: Where they would be shown; of several placements the first counts.
        customer: What is known of the customer, decisions under way included.
        now_ms: The instant, epoch ms.
        salt: Chance, for rules that ask a strategy for a propensity.
        probe: A monotonic clock in ms, for models.
        shared: What is known across customers.
    """
    environment = enrich(flow.visible, request, customer, now_ms)
    values = OfferValues(environment)
    context = ScoringContext(values.environment, shared, salt, probe)
    known = knowledge(flow, request, customer, environment, values, context, now_ms)
    readable = everything(flow, environment, customer, now_ms)
    assessment = flow.policies.assess(customer, readable, now_ms, known.in_segment, shared.budgets)
    inspection = _Inspection(flow, index, request, customer, now_ms, known, assessment)
    wanted = {offer.id for offer in offers}
    creatives: dict[str, list[tuple[Creative, Channel]]] = {}
    for creative in index.all("creatives", Creative):
        home = index.channel(creative.channel_id)
        if home is not None and creative.offer_id in wanted and inspection.wants(creative, home):
            creatives.setdefault(creative.offer_id, []).append((creative, home))
    return [inspection.offer(one, creatives.get(one.id, [])) for one in offers]


class _Inspection:
    """One customer's offers, looked at one by one."""

    def __init__(
        self,
        flow: CompiledFlow,
        index: EntityIndex,
        request: DecisionRequest,
        customer: CustomerView,
        now_ms: int,
        known: Known,
        assessment: Assessment,
    ) -> None:
        self._flow = flow
        self._index = index
        self._request = request
        self._now_ms = now_ms
        self._placement = index.placement(request.placements[0].placement_id) if request.placements else None
        pool = flow.pool(
            request.channel_id, request.channel_type, None if self._placement is None else self._placement.id
        )
        #: What a decision would look at; others are made when they are asked about.
        self._candidates = {one.creative.id: one for one in pool.candidates}
        self._verdicts = flow.rules.verdicts(known)
        self._assessment = assessment
        self._filters = flow.filters.verdicts(known)
        self._consent = {} if customer.profile is None else customer.profile.consent
        self._denied = flow.surroundings.settings.consent_default == "deny"

    def wants(self, creative: Creative, home: Channel) -> bool:
        """Whether a creative of a channel, whatever its status, stands where the request wants one."""
        request = self._request
        if request.channel_id not in (None, home.id) or request.channel_type not in (None, home.type):
            return False
        return self._flow.stands_at(creative, home, self._placement)

    def offer(self, offer: Offer, creatives: list[tuple[Creative, Channel]]) -> OfferEligibility:
        """What stands against an offer and each of these creatives of it."""
        reasons = [self._finding(why, numbers) for why, numbers in self._against_offer(offer)]
        if not creatives:
            reasons.append(self._finding(_NO_CREATIVE, self._where()))
        judged = [self._creative(offer, creative, home, not reasons) for creative, home in creatives]
        return OfferEligibility(
            offer_id=offer.id,
            offer_name=offer.name,
            eligible=any(one.eligible for one in judged),
            creatives=judged,
            reasons=reasons,
        )

    def _creative(
        self, offer: Offer, creative: Creative, home: Channel, offered: bool
    ) -> CreativeEligibility:
        candidate = self._candidates.get(creative.id)
        if candidate is None:
            candidate = self._flow.candidate(offer, creative, home, self._placement)
        hard = [self._finding(why, numbers) for why, numbers in self._against_creative(creative, home)]
        hard += [self._finding(why, numbers) for why, numbers in self._against(candidate)]
        return CreativeEligibility(
            creative_id=creative.id,
            creative_name=creative.name,
            channel_id=creative.channel_id,
            placement_id=candidate.standing.placement_id,
            eligible=offered and not hard,
            reasons=[*hard, *self._lowering(candidate)],
        )

    def _against_offer(self, offer: Offer) -> Iterator[tuple[Reason, dict[str, Any]]]:
        """What keeps an offer from being a candidate at all."""
        if offer.status != "active":
            yield _OFFER, {"status": offer.status}
        for category_id in self._index.categories_of(offer):
            category = self._index.category(category_id)
            status = "missing" if category is None else category.status
            if status != "active":
                yield _CATEGORY, {"categoryId": category_id, "status": status}
        if not self._flow.offers_it(offer):
            inventory = self._flow.definition.inventory
            yield _NOT_IN_INVENTORY, {"decisionFlowId": self._flow.flow_id, "scope": inventory.scope}
        if not on_schedule(offer, self._now_ms):
            yield _SCHEDULE, {"nowMs": self._now_ms, "startAt": offer.start_at, "endAt": offer.end_at}

    def _where(self) -> dict[str, Any]:
        """Where the request wants creatives; empty for anywhere."""
        wanted = {
            "channelId": self._request.channel_id,
            "channel": self._request.channel_type,
            "placementId": None if self._placement is None else self._placement.id,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def _against_creative(self, creative: Creative, home: Channel) -> Iterator[tuple[Reason, dict[str, Any]]]:
        """What keeps a creative from making its offer a candidate."""
        if creative.status != "active":
            yield _CREATIVE, {"status": creative.status}
        if home.status != "active":
            yield _CHANNEL, {"channelId": home.id, "status": home.status}
        own = self._index.placement(creative.placement_id)
        for placement in {one.id: one for one in (self._placement, own) if one is not None}.values():
            if placement.status != "active":
                yield _PLACEMENT, {"placementId": placement.id, "status": placement.status}

    def _against(self, candidate: Candidate) -> Iterator[tuple[Reason, dict[str, Any]]]:
        """Everything in the filter stage that removes a candidate, in its order."""
        flow, verdicts, assessment = self._flow, self._verdicts, self._assessment
        for bit in bits(verdicts.disqualified(candidate)):
            yield flow.rules.rules[bit].reason, verdicts.numbers(bit, candidate)
        for channel_id, numbers in closed_channels(self._consent, (candidate.channel,), self._denied).items():
            yield reason("consent", "consent", channel_id), numbers
        for bit in bits(assessment.removing(candidate.claim)):
            yield flow.policies.entries[bit].reason, assessment.numbers(bit, candidate.claim)
        for bit in bits(self._filters.failed(candidate)):
            yield self._filters.reason(bit), self._filters.numbers(bit, candidate)

    def _lowering(self, candidate: Candidate) -> Iterator[Finding]:
        """The fit rules that a candidate fails."""
        for bit in bits(self._verdicts.unfit(candidate)):
            rule = self._flow.rules.rules[bit]
            numbers = {**self._verdicts.numbers(bit, candidate), "multiplier": rule.multiplier}
            yield self._finding(rule.reason, numbers, "fit")

    def _finding(
        self, why: Reason, numbers: dict[str, Any], effect: Literal["hard", "fit"] = "hard"
    ) -> Finding:
        kind, cls = _NAMED_IN.get(why.stage, ("", Entity))
        named = self._index.find(kind, why.rule_id, cls)
        return Finding(
            stage=why.stage,
            reason=why.kind,
            effect=effect,
            rule_id=why.rule_id,
            rule_name=None if named is None else named.name,
            numbers=plain_fields(numbers),
        )
