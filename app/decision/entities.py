"""The catalogue's entities, as their documents say them.

Rules of this module:

1.  An entity is a value: frozen, compared by content, changed only by replacing it.
2.  On the wire fields are camelCase and an unknown field is refused: a typo must not pass silently.
3.  What a field may hold is said here; what entities mean to each other is checked in `references`.
4.  A kind or field whose behaviour is not built is absent here, so no document can rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

#: An id, or a reference by id or key. The lookahead refuses a line feed, which `$` would let by.
Ref = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}(?![\s\S])", description="id or key")]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Text = Annotated[str, Meta(max_length=2_000)]
Tag = Annotated[str, Meta(min_length=1, max_length=128)]
Instant = Annotated[datetime, Meta(tz=True)]
Percent = Annotated[int, Meta(ge=0, le=100)] | Annotated[float, Meta(ge=0, le=100)]
Unit = Annotated[float, Meta(ge=0, le=1)]
#: A duration that is given at all lasts: up to 100 years.
DurationMs = Annotated[int, Meta(ge=1, le=3_155_760_000_000)]
Status = Literal["draft", "active", "paused", "archived"]


class Entity(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What every entity has. `id` is empty only until the server has given one."""

    id: Ref = ""
    key: Ref | None = None
    name: Annotated[str, Meta(max_length=255)] = ""
    description: Text = ""
    status: Status = "active"
    version: Annotated[int, Meta(ge=0)] = 0
    created_at: Instant | None = None
    updated_at: Instant | None = None
    created_by: Annotated[str, Meta(max_length=256)] | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A part of an entity's document."""


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


ChannelType = Literal[
    "email", "push", "sms", "in_app", "web", "webhook", "whatsapp", "direct_mail", "call"
]  # fmt: skip


class Channel(Entity, frozen=True, kw_only=True):
    """A way to reach customers."""

    name: Name
    type: ChannelType
    delivery: Literal["batch", "api"] = "api"
    impression_tracking: Literal["explicit", "implicit"] | None = None
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
    """A place on a channel; one recommendation puts at most `max_slots` there, if that is said."""

    name: Name
    channel_id: Ref
    max_slots: Annotated[int, Meta(ge=1, le=50)] | None = None


class Route(Part, frozen=True, kw_only=True):
    """A channel, a placement on it or both, whose requests a flow takes."""

    channel_id: Ref | None = None
    placement_id: Ref | None = None


class Inventory(Part, frozen=True, kw_only=True):
    """Which offers a flow considers; `ids` are categories or offers, by `scope`."""

    scope: Literal["all", "categories", "offers"] = "all"
    ids: tuple[Ref, ...] = ()


class Qualification(Part, frozen=True, kw_only=True):
    """The qualification rules of a flow: those listed, or all active ones."""

    rule_ids: tuple[Ref, ...] | Literal["all"] = "all"


class FlowPolicies(Part, frozen=True, kw_only=True):
    """The contact policies of a flow: those listed, or all active ones."""

    policy_ids: tuple[Ref, ...] | Literal["all"] = "all"


class Scoring(Part, frozen=True, kw_only=True):
    """How a flow scores a candidate, and the score under which it is dropped."""

    method: Literal["priority_weighted"] = "priority_weighted"
    floor: Unit = 0.0


class Ranking(Part, frozen=True, kw_only=True):
    """How a flow orders candidates and what it takes of them."""

    max_per_category: Annotated[int, Meta(ge=1, le=50)] | None = None
    mandatory_first: bool = True
    one_creative_per_offer: bool = True


class DecisionFlow(Entity, frozen=True, kw_only=True):
    """The settings of one way to decide. Only an active flow decides."""

    name: Name
    status: Status = "draft"
    default: bool = False
    routes: tuple[Route, ...] = ()
    inventory: Inventory = Inventory()
    qualification: Qualification = Qualification()
    contact_policies: FlowPolicies = FlowPolicies()
    scoring: Scoring = Scoring()
    ranking: Ranking = Ranking()
    unknown_customers: Literal["reject", "allow"] | None = None


ScopeKind = Literal["global", "channel", "category", "subcategory", "offer", "creative", "placement"]


class Scope(Part, frozen=True, kw_only=True):
    """Where a rule or policy holds. Every scope but `global` names what it is about by `id`."""

    scope: ScopeKind
    id: Ref | None = None


class QualificationRule(Entity, frozen=True, kw_only=True):
    """A condition that a candidate's customer must meet (hard), or that lowers its score (fit)."""

    name: Name
    kind: Literal["attribute_condition", "metric_condition", "expression"]
    effect: Literal["hard", "fit"] = "hard"
    multiplier: Annotated[float, Meta(ge=0.1, le=1)] | None = None
    scopes: tuple[Scope, ...] = ()
    priority: Percent = 50
    config: dict[str, Any] = {}


class ContactPolicy(Entity, frozen=True, kw_only=True):
    """A promise of how often a customer may be contacted. No scopes means everywhere."""

    name: Name
    kind: Literal["frequency_cap", "cooldown"]
    scopes: tuple[Scope, ...] = ()
    priority: Percent = 50
    bypassable: bool = True
    config: dict[str, Any] = {}


class OutcomeType(Entity, frozen=True, kw_only=True):
    """Something a customer can do with what was shown."""

    key: Ref
    classification: Literal["positive", "neutral", "negative"]
    category: Literal["impression", "response"] = "response"


class BehaviouralMetric(Entity, frozen=True, kw_only=True):
    """A running figure of a customer's events: how many, or the sum of one field."""

    key: Ref
    aggregate: Literal["count", "sum"]
    event_types: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(min_length=1)]
    field: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    window_ms: DurationMs | None = None


class TenantSettings(Entity, frozen=True, kw_only=True):
    """A tenant's own settings; it has one such entity at most."""

    stale_reads: bool = False


#: The document's plural names, as paths and imports say them, each after what it refers to.
KINDS: Mapping[str, type[Entity]] = MappingProxyType(
    {
        "categories": Category,
        "channels": Channel,
        "placements": Placement,
        "offers": Offer,
        "creatives": Creative,
        "outcome-types": OutcomeType,
        "behavioral-metrics": BehaviouralMetric,
        "qualification-rules": QualificationRule,
        "contact-policies": ContactPolicy,
        "decision-flows": DecisionFlow,
        "tenant-settings": TenantSettings,
    }
)
