"""A customer as PUT and PATCH say it, and as the engine sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.decision import CustomerView
from app.decision.metrics import Figure, complete_since, figure
from app.decision.policies.counting import PolicyCounts
from app.decision.records import ProfileWrite, Reference, ShortText, profile_problems
from app.decision.refusals import Problem
from app.decision.shape import Shape
from app.decision.state import (
    AttributeValue,
    Contact,
    Customer,
    Profile,
    Recommendation,
    Reserved,
)
from web.body import BodyType, top_field
from web.customer_state import (
    Enrolment,
    InteractionShown,
    ReservationShown,
    SuppressionShown,
    VariantShown,
    interactions_shown,
    policy_counts,
    reservations_shown,
    suppressions_shown,
    variants_shown,
)
from web.errors import invalid
from web.instants import iso_ms

CUSTOMER_ID_MAX = 256
RECENT_MAX = 10


class ProfileBody(msgspec.Struct, rename="camel"):
    """The request: a `ProfileWrite` without what path and method say."""

    shape: ClassVar[Shape] = Shape(
        types={"consent": dict[Reference, Literal["granted", "revoked"]] | None},
        example={"attributes": {"firstName": "Ada", "tier": "gold"}, "consent": {"email": "granted"}},
    )

    attributes: dict[str, AttributeValue] | None = None
    tags: Annotated[list[ShortText], msgspec.Meta(max_length=1_000)] | None = None
    consent: dict[str, str] | None = None
    time_zone: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] | None = None


class ProfileRecord(ProfileWrite, omit_defaults=True, rename="camel"):
    """A profile write as it is written to Kafka: without the fields that say nothing."""


class ContactCounts(msgspec.Struct, rename="camel"):
    """The customer's contacts that are remembered, those of decisions not folded yet included."""

    total: int
    by_channel: dict[str, int]


class RecentRecommendation(msgspec.Struct, rename="camel"):
    """A recommendation, in short."""

    recommendation_id: str
    decision_flow_id: str
    count: int
    processed_at: str


class CustomerBody(msgspec.Struct, rename="camel"):
    """The state of a customer, as decisions see it now; `degraded` says why it may be older."""

    customer_id: str
    attributes: dict[str, AttributeValue]
    tags: tuple[str, ...]
    consent: dict[str, str]
    time_zone: str | None
    locale: str | None
    #: null for an average, minimum, maximum or last value without events.
    metrics: dict[str, Figure]
    #: Since when a figure misses nothing, for those that may miss something.
    metrics_complete_since: dict[str, str]
    contacts: ContactCounts
    #: Contact policies that are not shown, there being more than 200.
    contact_policies_left_out: int
    contact_policies: list[PolicyCounts]
    reservations: list[ReservationShown]
    suppressions: list[SuppressionShown]
    variants: list[VariantShown]
    enrolments: list[Enrolment]
    recent_interactions: list[InteractionShown]
    recent_recommendations: list[RecentRecommendation]
    known_since: str
    last_event_at: str | None
    degraded: str | msgspec.UnsetType = msgspec.UNSET


class SeenCustomer(msgspec.Struct):
    """A customer as they are now, with what decisions that are not folded yet add to their state."""

    customer: Customer
    view: CustomerView
    recommendations: Sequence[Recommendation]
    reserved: Sequence[Reserved]


_body = BodyType(ProfileBody)


def checked_customer_id(customer_id: str) -> str:
    """The customer id of a path.

    Raises:
        ApiError: 400 when it is too long or not text.
    """
    problem = None
    if not 1 <= len(customer_id) <= CUSTOMER_ID_MAX:
        problem = f"must have 1 to {CUSTOMER_ID_MAX} characters"
    elif not customer_id.isascii() and any("\ud800" <= letter <= "\udfff" for letter in customer_id):
        problem = "is not valid UTF-8"
    if problem is not None:
        raise invalid((Problem("customerId", problem),))
    return customer_id


def read_profile(body: bytes, tenant_id: str, customer_id: str, replace: bool) -> ProfileRecord:
    """The profile write as it goes on the log.

    Raises:
        ApiError: 400 with every bad field.
    """
    given, problems = _body.read(body)
    record = profile_record(given, tenant_id, customer_id, replace, problems)
    if problems:
        raise invalid(problems)
    return record


def profile_record(
    given: ProfileBody, tenant_id: str, customer_id: str, replace: bool, problems: list[Problem]
) -> ProfileRecord:
    """What a body says as a record; `problems`, those found before, is added to. With any it is not sound."""
    values = {name: getattr(given, name) for name in ProfileBody.__struct_fields__}
    record = ProfileRecord(
        **{**values, "tenant_id": tenant_id, "customer_id": customer_id, "replace": replace}
    )
    bad = {top_field(problem.field) for problem in problems}
    problems.extend(one for one in profile_problems(record) if top_field(one.field) not in bad)
    return record


def customer_body(seen: SeenCustomer, catalogue: TenantCatalogue, now_ms: int) -> CustomerBody:
    """A known customer's state at `now_ms` (epoch ms)."""
    customer = seen.customer
    profile = customer.profile or Profile()
    return CustomerBody(
        customer_id=customer.customer_id,
        attributes=profile.attributes,
        tags=profile.tags,
        consent=profile.consent,
        time_zone=profile.time_zone,
        locale=profile.locale,
        metrics={
            key: figure(customer.metrics, metric, now_ms, customer)
            for key, metric in catalogue.metrics.items()
        },
        metrics_complete_since=_complete_since(customer, catalogue, now_ms),
        contacts=_counts(customer, seen.view.contacts),
        contact_policies=policy_counts(seen.view, catalogue, now_ms),
        contact_policies_left_out=catalogue.counting.left_out,
        reservations=reservations_shown(seen.reserved),
        suppressions=suppressions_shown(customer, now_ms),
        variants=variants_shown(seen.view.assigned),
        enrolments=[],
        recent_interactions=interactions_shown(customer),
        recent_recommendations=[_recent(one) for one in reversed(seen.recommendations[-RECENT_MAX:])],
        known_since=iso_ms(customer.known_since_ms),
        last_event_at=iso_ms(customer.last_event_ms) if customer.last_event_ms else None,
    )


def _counts(customer: Customer, contacts: Sequence[Contact]) -> ContactCounts:
    """All contacts ever, those kept as totals included."""
    by_channel = Counter(one.channel_id for one in contacts)
    for total in customer.totals:
        by_channel[total.channel_id] += total.count
    return ContactCounts(by_channel.total(), dict(by_channel))


def _complete_since(customer: Customer, catalogue: TenantCatalogue, now_ms: int) -> dict[str, str]:
    since = {
        key: complete_since(customer.metrics, metric, now_ms, customer)
        for key, metric in catalogue.metrics.items()
    }
    return {key: iso_ms(since_ms) for key, since_ms in since.items() if since_ms is not None}


def _recent(recommendation: Recommendation) -> RecentRecommendation:
    return RecentRecommendation(
        recommendation_id=recommendation.recommendation_id,
        decision_flow_id=recommendation.decision_flow_id,
        count=len(recommendation.shown),
        processed_at=iso_ms(recommendation.at_ms),
    )
