"""The fold: one record into one customer's state. What the log holds is what happened; this is how.

Rules:

1.  Deterministic: state, record, `now_ms` and catalogue in, state and verdict out. The clock and the
    catalogue are captured once a batch, so the same log folded under the same control records gives the
    same bytes. The state is changed in place: one fold owns it, and a failed batch drops it.
2.  A bad record is a verdict, never an exception: its neighbours are folded.
3.  A record counts once: by its offset (the caller's watermark) and by its idempotency key, remembered
    for 7 days or the customer's last 1,000, whichever is less.
4.  Any profile, event or response makes the customer known.
5.  On a channel with implicit impressions the decision itself is a contact. (Responses: `responses`.)
"""

from __future__ import annotations

import msgspec

from app.decision.catalogue import CatalogSnapshot
from app.decision.experiments.exposure import VariantEvent, decision_variants
from app.decision.ids import stable_hash
from app.decision.metrics import field_value, observe
from app.decision.records import (
    FUTURE_LIMIT_MS,
    DecisionMade,
    Event,
    ProfileWrite,
    epoch_ms,
    profile_bounds,
)
from app.decision.refusals import Problem, Refused, invalid
from app.decision.state import (
    CONTACT_MAX,
    CONTACT_WINDOW_MS,
    RECOMMENDATION_MAX,
    RECOMMENDATION_WINDOW_MS,
    SEEN_MAX,
    SEEN_WINDOW_MS,
    AttributeValue,
    Contact,
    Customer,
    Profile,
    Recommendation,
    Seen,
)

RECORDED = "recorded"
DUPLICATE = "duplicate"
CONFLICT = "conflict"
REFUSED = "refused"
PARKED = "parked"


class Clock(msgspec.Struct, frozen=True):
    """What a batch captured once: its time and catalogue; and its partition, for ids."""

    now_ms: int
    catalogue: CatalogSnapshot
    partition: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What became of a record; what respond and ingest answer with. `variants` is what experiments count."""

    status: str
    interaction_id: str = ""
    refused: Refused | None = None
    variants: tuple[VariantEvent, ...] = ()


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
    data = event.data or {}
    metrics = clock.catalogue.tenant(customer.tenant_id).metrics_for(event.type or "")
    for metric in metrics:
        value = field_value(metric, data)
        if value is not None:
            observe(customer.metrics, metric, at_ms, value)
    return _RECORDED


def fold_decision(customer: Customer, decision: DecisionMade, clock: Clock) -> Verdict:
    """Remember what was recommended, and count the contacts that the decision itself is."""
    if decision.at_ms > clock.now_ms + FUTURE_LIMIT_MS:
        return future(decision.at_ms, clock, "atMs")
    recommendation = recommendation_of(decision)
    horizon = clock.now_ms - RECOMMENDATION_WINDOW_MS
    customer.recommendations.append(recommendation)
    customer.recommendations.trim(RECOMMENDATION_MAX, lambda entry: entry.at_ms < horizon)
    for contact in contacts_of(decision):
        append_contact(customer, contact, clock)
    variants = decision_variants(customer, decision, clock.catalogue.tenant(customer.tenant_id).experiments)
    return Verdict(RECORDED, variants=variants) if variants else _RECORDED


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


def contacts_of(decision: DecisionMade) -> list[Contact]:
    """The contacts that a decision itself is: those on channels with implicit impressions."""
    return [
        Contact(
            at_ms=decision.at_ms,
            offer_id=shown.offer_id,
            creative_id=shown.creative_id,
            channel_id=shown.channel_id,
            category_id=shown.category_id,
            placement_id=shown.placement_id,
        )
        for shown in decision.shown
        if shown.rank in decision.contact_ranks
    ]


def fold_profile(customer: Customer, write: ProfileWrite, clock: Clock) -> Verdict:
    """Write what the operator's systems know: named parts change, attributes merge, null removes one.

    With `replace` what is not named is forgotten.
    """
    before = Profile() if customer.profile is None or write.replace else customer.profile
    merged = {**before.attributes, **(write.attributes or {})}
    attributes: dict[str, AttributeValue] = {name: each for name, each in merged.items() if each is not None}
    consent = {**before.consent, **(write.consent or {})}
    problems = profile_bounds(attributes, consent)
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
    if customer.known_since_ms == 0:
        customer.known_since_ms = clock.now_ms
    return _RECORDED


def seen_entry(customer: Customer, key_hash: int, now_ms: int) -> Seen | None:
    """The remembered idempotency key with this hash, when it is among the last 1,000 and 7 days."""
    if customer.seen_index is None:
        customer.seen_index = {entry.key_hash: entry for entry in customer.seen.entries[-SEEN_MAX:]}
    entry = customer.seen_index.get(key_hash)
    if entry is None or entry.at_ms <= now_ms - SEEN_WINDOW_MS:
        return None
    return entry


def _first_time(customer: Customer, key_hash: int, fingerprint: int, clock: Clock) -> bool:
    if seen_entry(customer, key_hash, clock.now_ms) is not None:
        return False
    remember(customer, Seen(key_hash, clock.now_ms, fingerprint))
    return True


def remember(customer: Customer, entry: Seen) -> None:
    seen = customer.seen
    seen.append(entry)
    index = customer.seen_index
    if index is not None:
        index[entry.key_hash] = entry
        if len(seen) > SEEN_MAX:
            oldest = seen.entries[-SEEN_MAX - 1]
            if index.get(oldest.key_hash) is oldest:
                del index[oldest.key_hash]
    horizon = entry.at_ms - SEEN_WINDOW_MS
    seen.trim(SEEN_MAX, lambda old: old.at_ms <= horizon)


def know(customer: Customer, at_ms: int, clock: Clock) -> None:
    if customer.known_since_ms == 0:
        customer.known_since_ms = clock.now_ms
    if at_ms > customer.last_event_ms:
        customer.last_event_ms = at_ms


def append_contact(customer: Customer, contact: Contact, clock: Clock) -> None:
    horizon = clock.now_ms - CONTACT_WINDOW_MS
    customer.contacts.append(contact)
    customer.contacts.trim(CONTACT_MAX, lambda entry: entry.at_ms < horizon)


def future(at_ms: int, clock: Clock, field: str = "timestamp") -> Verdict:
    ahead_h = (at_ms - clock.now_ms) / 3_600_000
    problem = Problem(field, f"{ahead_h:.1f} hours ahead, at most 24")
    return Verdict(REFUSED, refused=Refused("future", (problem,)))
