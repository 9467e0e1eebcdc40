"""The fold: one record into one customer's state. What the log holds is what happened; this is how.

Rules:

1.  Deterministic: state, record, `now_ms` and catalogue in, state and verdict out. The clock and the
    catalogue are captured once a batch, so the same log folded under the same control records gives the
    same bytes. The state is changed in place: one fold owns it, and a failed batch drops it.
2.  A bad record is a verdict, never an exception: its neighbours are folded.
3.  A record counts once: by its offset (the caller's watermark) and by its idempotency key, remembered
    for 7 days or the customer's last 1,000, whichever is less.
4.  Any profile, event or response makes the customer known.
5.  On a channel with implicit impressions the decision itself is a contact; on another it may reserve one.
    (Responses: `responses`.)
6.  What has run out by the batch's time (reservations, suppressions) is swept when a decision or response is
    folded; readers do not count it before either.
"""

from __future__ import annotations

from typing import Any

import msgspec

from app.decision.catalogue import CatalogSnapshot
from app.decision.contacts.appending import add_contact
from app.decision.contacts.reserving import free_expired, reserve
from app.decision.experiments.exposure import VariantEvent, decision_variants
from app.decision.idempotency import remember, seen_entry
from app.decision.ids import stable_hash
from app.decision.metrics import observe_all
from app.decision.observations import Observation, shown_impression
from app.decision.profiles import profile_bounds
from app.decision.recent import keep_event
from app.decision.records import (
    FUTURE_LIMIT_MS,
    DecisionMade,
    Event,
    ProfileWrite,
    epoch_ms,
)
from app.decision.refusals import Problem, Refused, invalid
from app.decision.revoking import written_consent
from app.decision.state import (
    RECOMMENDATION_MAX,
    RECOMMENDATION_WINDOW_MS,
    AttributeValue,
    Contact,
    Customer,
    Profile,
    Recommendation,
    Reserved,
    Seen,
    Shown,
)
from app.decision.suppressions import drop_expired, lift_suppression

RECORDED = "recorded"
DUPLICATE = "duplicate"
CONFLICT = "conflict"
REFUSED = "refused"
PARKED = "parked"
#: Its customer was erased: by this record, or after what it tells happened.
ERASED = "erased"


class Clock(msgspec.Struct, frozen=True):
    """What a batch captured once: its time and catalogue; and its partition, for ids."""

    now_ms: int
    catalogue: CatalogSnapshot
    partition: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What became of a record; what respond and ingest answer with.

    `evidence` is what it lets be learned, `variants` what experiments count; `at_ms`, of a response that
    counted, now or before, is when it did, epoch ms.
    """

    status: str
    interaction_id: str = ""
    refused: Refused | None = None
    evidence: tuple[Observation, ...] = ()
    variants: tuple[VariantEvent, ...] = ()
    at_ms: int = 0


_RECORDED = Verdict(RECORDED)
_DUPLICATE = Verdict(DUPLICATE)


def fold_event(customer: Customer, event: Event, written_ms: int, clock: Clock) -> Verdict:
    """Count an event: once by its `eventId`, into every metric of its type, in event time.

    Args:
        customer: owned by this fold.
        event: checked; its `type` is set.
        written_ms: the record's own time, the event's when it names none.
        clock: the batch's.
    """
    at_ms = written_ms if event.timestamp is None else epoch_ms(event.timestamp)
    if at_ms > clock.now_ms + FUTURE_LIMIT_MS:
        return future(at_ms, clock)
    if event.event_id is not None and not _first_time(
        customer, stable_hash("event", event.event_id), 0, clock
    ):
        return _DUPLICATE
    know(customer, at_ms, clock)
    count_event(customer, event.type or "", at_ms, event.data or {}, clock)
    return _RECORDED


def count_event(customer: Customer, event_type: str, at_ms: int, data: dict[str, Any], clock: Clock) -> None:
    """Count an event into every metric of its type, and keep it for metrics to come.

    Args:
        customer: owned by this fold.
        event_type: of an outcome `outcome.<key>`.
        at_ms: when it happened.
        data: what it said.
        clock: the batch's.
    """
    tenant = clock.catalogue.tenant(customer.tenant_id)
    observe_all(customer.metrics, tenant.metrics_for(event_type), at_ms, data, customer)
    keep_event(customer, event_type, at_ms, data, tenant.metrics, clock.now_ms)


def fold_decision(customer: Customer, decision: DecisionMade, clock: Clock) -> Verdict:
    """Remember what was recommended, and count the contacts that the decision is, or reserves."""
    if decision.at_ms > clock.now_ms + FUTURE_LIMIT_MS:
        return future(decision.at_ms, clock, "atMs")
    recommendation = recommendation_of(decision)
    horizon = clock.now_ms - RECOMMENDATION_WINDOW_MS
    if answerable(recommendation):
        customer.recommendations.append(recommendation)
        customer.recommendations.trim(RECOMMENDATION_MAX, lambda entry: entry.at_ms < horizon)
    sweep(customer, clock)
    if decision.reserved:
        reserve(customer, reservations_of(decision), clock.now_ms)
    for contact in contacts_of(decision):
        add_contact(customer, contact, clock.now_ms)
    variants = decision_variants(customer, decision, clock.catalogue.tenant(customer.tenant_id).experiments)
    if not decision.contact_ranks and not variants:
        return _RECORDED
    named = decision.recommendation_id
    shown = tuple([shown_impression(shown, named) for shown in _implicit(decision)])
    return Verdict(RECORDED, evidence=shown, variants=variants)


def recommendation_of(decision: DecisionMade) -> Recommendation:
    """What respond can find again of a decision."""
    return Recommendation(
        recommendation_id=decision.recommendation_id,
        at_ms=decision.at_ms,
        decision_flow_id=decision.decision_flow_id,
        shown=decision.shown,
        trace_id=decision.trace_id,
        experiment_id=decision.experiment_id,
        variant=decision.variant,
    )


def answerable(recommendation: Recommendation) -> bool:
    """Whether anybody can come back to it: to respond, or for its trace. Others are not kept."""
    return bool(recommendation.shown) or recommendation.trace_id is not None


def contacts_of(decision: DecisionMade) -> list[Contact]:
    """The contacts that a decision itself is: those on channels with implicit impressions."""
    return [_contact(shown, decision.at_ms) for shown in _implicit(decision)]


def reservations_of(decision: DecisionMade) -> tuple[Reserved, ...]:
    """The contacts that a decision reserves. What is a contact already is not reserved too."""
    until = dict(decision.reserved)
    for rank in decision.contact_ranks:
        until.pop(rank, None)
    return tuple(
        [
            Reserved(
                until_ms=until[shown.rank],
                recommendation_id=decision.recommendation_id,
                rank=shown.rank,
                contact=_contact(shown, decision.at_ms),
            )
            for shown in decision.shown
            if shown.rank in until
        ]
    )


def _implicit(decision: DecisionMade) -> list[Shown]:
    ranks = frozenset(decision.contact_ranks)
    return [shown for shown in decision.shown if shown.rank in ranks]


def _contact(shown: Shown, at_ms: int) -> Contact:
    return Contact(
        at_ms=at_ms,
        offer_id=shown.offer_id,
        creative_id=shown.creative_id,
        channel_id=shown.channel_id,
        category_id=shown.category_id,
        placement_id=shown.placement_id,
    )


def fold_profile(customer: Customer, write: ProfileWrite, clock: Clock) -> Verdict:
    """Write what the operator's systems know: named parts change, attributes merge, null removes one.

    With `replace` what is not named is forgotten, but for consent that is revoked (see `revoking`).
    One that only lifts suppressions leaves the profile as it is, and is a duplicate where none of them holds.
    """
    if _only_lifts(write):
        return _RECORDED if _lift(customer, write, clock) else _DUPLICATE
    known = customer.profile or Profile()
    before = Profile() if write.replace else known
    merged = {**before.attributes, **(write.attributes or {})}
    attributes: dict[str, AttributeValue] = {name: each for name, each in merged.items() if each is not None}
    tenant = clock.catalogue.tenant(customer.tenant_id)
    consent = written_consent(known.consent, write.consent or {}, write.replace, tenant)
    problems = profile_bounds(attributes, consent, len(known.consent))
    if problems:
        return Verdict(REFUSED, refused=invalid(problems))
    customer.profile = Profile(
        attributes=attributes,
        tags=before.tags if write.tags is None else tuple(dict.fromkeys(write.tags)),
        consent=consent,
        time_zone=before.time_zone if write.time_zone is None else write.time_zone,
        locale=before.locale if write.locale is None else write.locale,
        updated_ms=clock.now_ms,
    )
    customer.profile_changed = True
    _lift(customer, write, clock)
    if customer.known_since_ms == 0:
        customer.known_since_ms = clock.now_ms
    return _RECORDED


def _only_lifts(write: ProfileWrite) -> bool:
    """Whether it lifts suppressions and says nothing of the profile."""
    said = (write.attributes, write.tags, write.consent, write.time_zone, write.locale)
    return write.lift_suppressions is not None and not write.replace and all(one is None for one in said)


def _lift(customer: Customer, write: ProfileWrite, clock: Clock) -> bool:
    """Lift what the write names; False when none of it held."""
    if not write.lift_suppressions:
        return False
    drop_expired(customer, clock.now_ms)
    lifted = [lift_suppression(customer, one) for one in write.lift_suppressions]
    return any(lifted)


def _first_time(customer: Customer, key_hash: int, fingerprint: int, clock: Clock) -> bool:
    if seen_entry(customer, key_hash, clock.now_ms) is not None:
        return False
    remember(customer, Seen(key_hash, clock.now_ms, fingerprint))
    return True


def know(customer: Customer, at_ms: int, clock: Clock) -> None:
    if customer.known_since_ms == 0:
        customer.known_since_ms = clock.now_ms
    if at_ms > customer.last_event_ms:
        customer.last_event_ms = at_ms


def sweep(customer: Customer, clock: Clock) -> None:
    """Forget the reservations and suppressions that have run out."""
    if customer.reserved:
        free_expired(customer, clock.now_ms)
    if customer.suppressions:
        drop_expired(customer, clock.now_ms)


def future(at_ms: int, clock: Clock, field: str = "timestamp") -> Verdict:
    ahead_h = (at_ms - clock.now_ms) / 3_600_000
    problem = Problem(field, f"{ahead_h:.1f} hours ahead, at most 24")
    return Verdict(REFUSED, refused=Refused("future", (problem,)))
