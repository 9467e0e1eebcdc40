"""The fold of responses: attributed, counted once, parked while what they name is not folded yet.

Rules:

1.  What respond resolved before it wrote the record (target, outcome, whether it is a contact) holds,
    whatever the catalogue says by the time it is folded, or folded again: its caller was told so.
2.  Order across topics is not in the log, so a response may be folded before the decision it names. It is
    parked, 20 a customer for 10 minutes, until that decision is folded.
3.  A contact is an impression, unless its decision already counted as one. It takes the place of the contact
    that the decision reserved.
4.  Outcomes act at the fold, once: metrics, suppressions, consent, and what is to be learned from them.
"""

from __future__ import annotations

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.contacts.appending import add_contact
from app.decision.contacts.reserving import report
from app.decision.entities import OutcomeType
from app.decision.experiments.exposure import response_variants
from app.decision.fold import (
    CONFLICT,
    DUPLICATE,
    PARKED,
    RECORDED,
    REFUSED,
    Clock,
    Verdict,
    count_event,
    future,
    know,
    sweep,
)
from app.decision.idempotency import remember, seen_entry
from app.decision.ids import INTERACTION, stable_hash
from app.decision.observations import Observation, first_positive, responded
from app.decision.records import FUTURE_LIMIT_MS, Response, Target, decode_response, epoch_ms
from app.decision.refusals import Problem, Refused
from app.decision.revoking import REVOKING_OUTCOMES, revoke_for
from app.decision.scopes import Standing
from app.decision.state import (
    INTERACTIONS_MAX,
    PARKED_BYTES,
    PARKED_MAX,
    PARKED_WINDOW_MS,
    Contact,
    Customer,
    Interaction,
    Parked,
    Seen,
)
from app.decision.suppressions import suppress
from app.decision.targets import EXPIRED, NoTarget, resolve_target

_PARKED = Verdict(PARKED)


def fold_response(
    customer: Customer, response: Response, written_ms: int, clock: Clock, source: str
) -> Verdict:
    """Record an outcome: once by its key, as contact when it is an impression, and into its metrics.

    Args:
        source: names the record when it has no idempotency key: topic, partition, offset.
    """
    tenant = clock.catalogue.tenant(customer.tenant_id)
    outcome = tenant.outcome_type(response.outcome or "")
    resolved = response.target is not None and response.target.outcome is not None
    if outcome is None and not resolved:
        problem = Problem("outcome", f"outcome type {response.outcome} is not known")
        return Verdict(REFUSED, refused=Refused("unresolved", (problem,)))
    at_ms = written_ms if response.timestamp is None else epoch_ms(response.timestamp)
    if at_ms > clock.now_ms + FUTURE_LIMIT_MS:
        return future(at_ms, clock)
    target = response.target or resolve_target(response, customer.recommendations, tenant, clock.now_ms)
    if isinstance(target, NoTarget):
        if target.may_come and _park(customer, response, written_ms, clock, source):
            return _PARKED
        return Verdict(REFUSED, refused=Refused("unresolved", (target.problem,)))
    if outcome is not None and not resolved:
        target = attributed(target, outcome, tenant)
    key_hash = interaction_hash(customer, response, target, response.idempotency_key or source)
    interaction_id = f"{INTERACTION}_{clock.partition:x}_{key_hash:016x}"
    if response.idempotency_key is not None:
        explicit = None if response.timestamp is None else at_ms
        fingerprint = stable_hash(response.conversion_value, explicit)
        known = seen_entry(customer, key_hash, clock.now_ms)
        if known is not None:
            status = DUPLICATE if known.fingerprint == fingerprint else CONFLICT
            return Verdict(status, interaction_id, at_ms=_counted_ms(customer, interaction_id, known))
        remember(customer, Seen(key_hash, clock.now_ms, fingerprint))
    evidence = _take_effect(customer, response, target, at_ms, clock)
    _keep_interaction(customer, interaction_id, target, at_ms)
    variants = response_variants(customer, target, at_ms, tenant.experiments)
    return Verdict(RECORDED, interaction_id, evidence=evidence, variants=variants, at_ms=at_ms)


def _counted_ms(customer: Customer, interaction_id: str, known: Seen) -> int:
    """When a response that is known counted; to the batch, where its interaction is kept no more."""
    kept = (one.at_ms for one in customer.interactions if one.interaction_id == interaction_id)
    return next(kept, known.at_ms)


def _take_effect(
    customer: Customer, response: Response, target: Target, at_ms: int, clock: Clock
) -> tuple[Observation, ...]:
    """What a response that counts does to its customer; returns what is to be learned from it."""
    tenant = clock.catalogue.tenant(customer.tenant_id)
    outcome = target.outcome or ""
    know(customer, at_ms, clock)
    sweep(customer, clock)
    evidence: tuple[Observation, ...] = ()
    if target.contact:
        _add_contact(customer, target, at_ms, clock)
        evidence = (responded("impression", target),)
    _observe_outcome(customer, response, target, at_ms, clock)
    if outcome in tenant.suppressing_outcomes:
        found = tenant.suppressions_of(outcome, standing_of(target, tenant), at_ms)
        suppress(customer, found, clock.now_ms)
    if outcome in REVOKING_OUTCOMES:
        revoke_for(customer, target, tenant, clock.now_ms)
    if first_positive(customer, target):
        evidence = (*evidence, responded("positive", target))
    return evidence


def _keep_interaction(customer: Customer, interaction_id: str, target: Target, at_ms: int) -> None:
    interaction = Interaction(
        interaction_id=interaction_id,
        at_ms=at_ms,
        outcome=target.outcome or "",
        offer_id=target.offer_id,
        creative_id=target.creative_id,
        channel_id=target.channel_id,
        recommendation_id=target.recommendation_id,
        rank=target.rank,
    )
    customer.interactions.append(interaction)
    customer.interactions.trim(INTERACTIONS_MAX, _never)


def _never(interaction: Interaction) -> bool:
    return False


def _observe_outcome(
    customer: Customer, response: Response, target: Target, at_ms: int, clock: Clock
) -> None:
    data = {
        "conversionValue": response.conversion_value,
        "offerId": target.offer_id,
        "channelId": target.channel_id,
    }
    count_event(customer, f"outcome.{target.outcome or ''}", at_ms, data, clock)


def standing_of(target: Target, tenant: TenantCatalogue) -> Standing:
    """Where what was responded to stands: in its contact's category, and its offer's subcategory of today."""
    categories = tenant.category_ids(target.category_id)
    offer = tenant.offer(target.offer_id)
    if offer is not None and offer.sub_category_id not in (None, *categories):
        categories = (*categories, offer.sub_category_id or "")
    return Standing(
        offer_id=target.offer_id,
        creative_id=target.creative_id,
        channel_id=target.channel_id,
        category_ids=categories,
        placement_id=target.placement_id,
    )


def attributed(target: Target, outcome: OutcomeType, tenant: TenantCatalogue) -> Target:
    """The target with what happened to it: the outcome's key, whether that is a contact, or positive."""
    positive = outcome.category == "response" and outcome.classification == "positive"
    contact = outcome.category == "impression" and not _counted_at_decision(target, tenant)
    return msgspec.structs.replace(target, outcome=outcome.key, contact=contact, positive=positive)


def interaction_hash(customer: Customer, response: Response, target: Target, key: str) -> int:
    """The scope of an idempotency key: tenant, customer, outcome, resolved target and the key itself.

    A rank of a recommendation is one target, also once the recommendation is forgotten: a busy customer's
    keys are remembered longer than its recommendations, and a late retry must not count.
    """
    scope = ("response", customer.tenant_id, customer.customer_id, target.outcome or "")
    named, rank = target.recommendation_id, target.rank
    if target.attribution == EXPIRED:
        named, rank = response.recommendation_id, response.rank
    if named is not None and rank is not None:
        return stable_hash(*scope, named, rank, key)
    return stable_hash(
        *scope,
        target.recommendation_id,
        target.rank,
        target.offer_id,
        target.creative_id,
        target.channel_id,
        key,
    )


class Unparked(msgspec.Struct, frozen=True):
    """A parked response whose waiting is over, and what became of it."""

    parked: Parked
    verdict: Verdict


def unpark(customer: Customer, clock: Clock) -> list[Unparked]:
    """Fold the parked responses whose decision has come; give up those that waited 10 minutes."""
    if not customer.parked:
        return []
    waiting, customer.parked = customer.parked, []
    known = {entry.recommendation_id for entry in customer.recommendations}
    known |= {entry.trace_id for entry in customer.recommendations if entry.trace_id is not None}
    done: list[Unparked] = []
    for parked in waiting:
        response = decode_response(parked.body)
        if isinstance(response, Refused):
            done.append(Unparked(parked, Verdict(REFUSED, refused=response)))
        elif (response.recommendation_id or response.trace_id) in known:
            verdict = fold_response(customer, response, parked.written_ms, clock, parked.source)
            done.append(Unparked(parked, verdict))
        elif parked.parked_ms <= clock.now_ms - PARKED_WINDOW_MS:
            problem = Problem("recommendationId", "no such decision was folded within 10 minutes")
            done.append(Unparked(parked, Verdict(REFUSED, refused=Refused("unresolved", (problem,)))))
        else:
            customer.parked.append(parked)
    return done


def _park(customer: Customer, response: Response, written_ms: int, clock: Clock, source: str) -> bool:
    body = msgspec.json.encode(response)
    if len(customer.parked) >= PARKED_MAX or len(body) > PARKED_BYTES:
        return False
    customer.parked.append(Parked(clock.now_ms, written_ms, source, body))
    return True


def _counted_at_decision(target: Target, tenant: TenantCatalogue) -> bool:
    channel = tenant.channel(target.channel_id)
    implicit = channel is not None and channel.implicit
    return implicit and target.attribution == "recommendation"


def _add_contact(customer: Customer, target: Target, at_ms: int, clock: Clock) -> None:
    contact = Contact(
        at_ms=at_ms,
        offer_id=target.offer_id,
        creative_id=target.creative_id,
        channel_id=target.channel_id,
        category_id=target.category_id,
        placement_id=target.placement_id,
    )
    if target.recommendation_id is not None and target.rank is not None:
        report(customer, target.recommendation_id, target.rank, clock.now_ms)
    add_contact(customer, contact, clock.now_ms)
