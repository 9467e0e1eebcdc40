"""What can be offered, and where: categories, offers, creatives, channels and placements."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Instant, Money, Name, Part, Percent, Ref, Tag


class CustomField(Part, frozen=True, kw_only=True):
    """A field that a category gives its offers."""

    key: Ref
    type: Literal["number", "string", "boolean", "date", "computed"]
    default: Any = None
    required: bool = False
    #: Of a computed field: what gives its value, and what it must give (any other value is null).
    formula: str | None = None
    output_type: Literal["number", "string", "boolean", "date"] | None = None


class Category(Entity, frozen=True, kw_only=True):
    """A group of offers; with a parent it is a subcategory."""

    name: Name
    parent_id: Ref | None = None
    custom_fields: tuple[CustomField, ...] = ()


class Budget(Part, frozen=True, kw_only=True):
    """How often something may be delivered, and what that may cost, in the tenant's currency and days."""

    max_per_day: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    max_total: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    spend_per_delivery: Money | None = None
    max_spend_per_day: Money | None = None
    max_spend_total: Money | None = None


class Offer(Entity, frozen=True, kw_only=True):
    """What can be offered to a customer."""

    name: Name
    category_id: Ref
    sub_category_id: Ref | None = None
    priority: Percent = 50
    weight: Percent = 100
    business_value: Percent = 50
    fields: dict[str, Any] = {}
    start_at: Instant | None = None
    end_at: Instant | None = None
    mandatory: bool = False
    tags: tuple[Tag, ...] = ()
    budget: Budget | None = None


class Creative(Entity, frozen=True, kw_only=True):
    """How an offer looks on a channel; without a placement, on any placement of it."""

    name: Name
    offer_id: Ref
    channel_id: Ref
    placement_id: Ref | None = None
    weight: Percent = 100
    content: dict[str, Any] = {}
    format: Literal["text", "html"] = "text"
    locale: Annotated[str, Meta(max_length=35)] | None = None
    budget: Budget | None = None


ChannelType = Literal[
    "email", "push", "sms", "in_app", "web", "webhook", "whatsapp", "direct_mail", "call"
]  # fmt: skip


class Channel(Entity, frozen=True, kw_only=True):
    """A way to reach customers."""

    name: Name
    type: ChannelType
    delivery: Literal["batch", "api"] = "api"
    impression_tracking: Literal["explicit", "implicit"] | None = None
    #: How long a decision on an explicit channel reserves its contact; 0 does not.
    reservation_ms: Annotated[int, Meta(ge=0, le=30 * 86_400_000)] = 0
    when_log_unavailable: Literal["refuse", "answer"] | None = None

    @property
    def implicit(self) -> bool:
        """Whether a decision on this channel is itself the contact: as told, else on batch channels."""
        if self.impression_tracking is None:
            return self.delivery == "batch"
        return self.impression_tracking == "implicit"

    @property
    def answers_without_log(self) -> bool:
        """Whether a decision may be answered when it cannot be logged: as told, else on explicit channels."""
        if self.when_log_unavailable is None:
            return not self.implicit
        return self.when_log_unavailable == "answer"


class Placement(Entity, frozen=True, kw_only=True):
    """A place on a channel; one recommendation puts at most `max_slots` there. None, said, is no bound."""

    name: Name
    channel_id: Ref
    max_slots: Annotated[int, Meta(ge=1, le=50)] | None = 1
