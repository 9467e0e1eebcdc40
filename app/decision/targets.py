"""What a response is about: the offer, creative and channel it names, or why nothing fits.

Rules, from the HTTP contract:

1.  A recommendation and rank name what was shown there. A trace and offer name the recommendation that
    has this trace.
2.  A creative names its offer and channel; either, also given, must agree. A channel is no target itself: one
    that nobody knows is a bad field, as in recommend.
3.  An offer alone names itself; its creative on the channel, when there is just one, is taken.
4.  A recommendation or trace that was ours and is forgotten (30 days, the last 50) does not fail a
    response that also names an offer or a creative: it counts, its attribution is "expired".
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.ids import RECOMMENDATION, TRACE, parse_routed_id
from app.decision.records import Response, Target
from app.decision.refusals import Problem
from app.decision.state import RECOMMENDATION_WINDOW_MS, Recommendation, Shown

#: The attribution of a response whose recommendation is forgotten.
EXPIRED = "expired"


class NoTarget(msgspec.Struct, frozen=True):
    """Why a response has no target; `missing` when something named does not exist (404), else 400."""

    missing: bool
    problem: Problem
    #: The recommendation may still be on its way through the log.
    may_come: bool = False


def resolve_target(
    response: Response,
    recommendations: Iterable[Recommendation],
    catalogue: TenantCatalogue,
    now_ms: int,
) -> Target | NoTarget:
    """The target of a response.

    Args:
        response: a checked response.
        recommendations: the customer's, oldest first, those not folded yet included.
        catalogue: the tenant's.
        now_ms: epoch milliseconds; older recommendations than 30 days are forgotten.
    """
    if response.recommendation_id is None and response.trace_id is None:
        return _direct(response, catalogue)
    found = _recommendation(response, recommendations, now_ms)
    if found is not None:
        return _from_recommendation(response, found, catalogue)
    if _was_ours(response):
        if response.offer_id or response.creative_id:
            target = _direct(response, catalogue)
            return (
                msgspec.structs.replace(target, attribution=EXPIRED) if isinstance(target, Target) else target
            )
        field, value = _named(response)
        return NoTarget(True, Problem(field, f"{value} is not known, or forgotten"), may_come=True)
    field, value = _named(response)
    return NoTarget(True, Problem(field, f"{value} is not known"))


def _named(response: Response) -> tuple[str, str]:
    if response.recommendation_id is not None:
        return "recommendationId", response.recommendation_id
    return "traceId", response.trace_id or ""


def _was_ours(response: Response) -> bool:
    _, value = _named(response)
    routed = parse_routed_id(value)
    return routed is not None and routed.prefix in (RECOMMENDATION, TRACE)


def _recommendation(
    response: Response, recommendations: Iterable[Recommendation], now_ms: int
) -> Recommendation | None:
    found = None
    for recommendation in recommendations:
        if response.recommendation_id is not None:
            matches = recommendation.recommendation_id == response.recommendation_id
        else:
            matches = recommendation.trace_id == response.trace_id
        if matches and recommendation.at_ms > now_ms - RECOMMENDATION_WINDOW_MS:
            found = recommendation
    return found


def _from_recommendation(
    response: Response, recommendation: Recommendation, catalogue: TenantCatalogue
) -> Target | NoTarget:
    shown = _shown(response, recommendation, catalogue)
    if isinstance(shown, NoTarget):
        return shown
    for name, given, actual in (
        ("offerId", response.offer_id, shown.offer_id),
        ("creativeId", response.creative_id, shown.creative_id),
        ("channelId", response.channel_id, shown.channel_id),
    ):
        if given is not None and _canonical(name, given, catalogue) != actual:
            return NoTarget(False, Problem(name, f"{given} was not shown at rank {shown.rank}, {actual} was"))
    return Target(
        offer_id=shown.offer_id,
        creative_id=shown.creative_id,
        channel_id=shown.channel_id,
        category_id=shown.category_id,
        placement_id=shown.placement_id,
        recommendation_id=recommendation.recommendation_id,
        rank=shown.rank,
        trace_id=recommendation.trace_id,
        attribution="recommendation",
        experiment_id=shown.experiment_id,
        variant=shown.variant,
        flow_experiment_id=recommendation.experiment_id,
        flow_variant=recommendation.variant,
        model_id=shown.model_id,
        features=shown.features,
    )


def _shown(
    response: Response, recommendation: Recommendation, catalogue: TenantCatalogue
) -> Shown | NoTarget:
    if response.rank is not None:
        for shown in recommendation.shown:
            if shown.rank == response.rank:
                return shown
        return NoTarget(
            False, Problem("rank", f"the recommendation has ranks 1 to {len(recommendation.shown)}")
        )
    creative = _canonical("creativeId", response.creative_id, catalogue)
    offer = _canonical("offerId", response.offer_id, catalogue)
    for shown in recommendation.shown:
        if creative is not None and shown.creative_id == creative:
            return shown
        if creative is None and offer is not None and shown.offer_id == offer:
            return shown
    if creative is None and offer is None:
        return NoTarget(False, Problem("rank", "rank is required with recommendationId"))
    field = "creativeId" if creative is not None else "offerId"
    return NoTarget(False, Problem(field, "was not shown in that recommendation"))


def _canonical(name: str, given: str | None, catalogue: TenantCatalogue) -> str | None:
    """The id of something given by id or key; unknown ones stay as they are."""
    if given is None:
        return None
    lookup = {"offerId": catalogue.offer, "creativeId": catalogue.creative, "channelId": catalogue.channel}[
        name
    ]
    entity = lookup(given)
    return given if entity is None else entity.id


def _direct(response: Response, catalogue: TenantCatalogue) -> Target | NoTarget:
    if response.creative_id is not None:
        return _from_creative(response, catalogue)
    offer = catalogue.offer(response.offer_id or "")
    if offer is None:
        return NoTarget(True, Problem("offerId", f"offer {response.offer_id} is not known"))
    channel = None
    if response.channel_id is not None:
        channel = catalogue.channel(response.channel_id)
        if channel is None:
            return NoTarget(False, Problem("channelId", f"channel {response.channel_id} is not known"))
    return Target(
        offer_id=offer.id,
        creative_id="",
        channel_id="" if channel is None else channel.id,
        category_id=_category(offer.category_id, catalogue),
    )


def _from_creative(response: Response, catalogue: TenantCatalogue) -> Target | NoTarget:
    creative = catalogue.creative(response.creative_id or "")
    if creative is None:
        return NoTarget(True, Problem("creativeId", f"creative {response.creative_id} is not known"))
    offer_id = _canonical("offerId", creative.offer_id, catalogue) or creative.offer_id
    channel_id = _canonical("channelId", creative.channel_id, catalogue) or creative.channel_id
    for name, given, actual in (
        ("offerId", response.offer_id, offer_id),
        ("channelId", response.channel_id, channel_id),
    ):
        if given is None or _canonical(name, given, catalogue) == actual:
            continue
        lookup = catalogue.offer if name == "offerId" else catalogue.channel
        if lookup(given) is None:
            return NoTarget(name == "offerId", Problem(name, f"{given} is not known"))
        return NoTarget(False, Problem(name, f"creative {creative.id} belongs to {actual}, not to {given}"))
    offer = catalogue.offer(offer_id)
    placement = creative.placement_id
    return Target(
        offer_id=offer_id,
        creative_id=creative.id,
        channel_id=channel_id,
        category_id="" if offer is None else _category(offer.category_id, catalogue),
        placement_id=placement,
    )


def _category(reference: str, catalogue: TenantCatalogue) -> str:
    category = catalogue.category(reference)
    return reference if category is None else category.id
