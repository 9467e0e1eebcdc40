"""The catalogue's entities, as their documents say them.

Rules of this module:

1.  An entity is a value: frozen, compared by content, changed only by replacing it.
2.  On the wire fields are camelCase and an unknown field is refused: a typo must not pass silently.
3.  What a field may hold is said here; what entities mean to each other is checked in `references`.
4.  A kind or field whose behaviour is not built is absent here, so no document can rely on it. One field is
    a note to readers: `TenantSettings.currency`. Two are kept for webhooks and triggers, which are not built
    yet: its `webhook_allow_list` and `publish_topics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.decision.entities.base import (
    DurationMs,
    Entity,
    Instant,
    Money,
    Name,
    Part,
    Percent,
    Ref,
    Status,
    Tag,
    Text,
    Unit,
    ZoneName,
)
from app.decision.entities.flows import (
    DecisionFlow,
    Enrichment,
    Exponents,
    FlowPolicies,
    Inventory,
    Qualification,
    Ranking,
    Route,
    Scoring,
)
from app.decision.entities.inventory import (
    Budget,
    Category,
    Channel,
    ChannelType,
    Creative,
    CustomField,
    Offer,
    Placement,
)
from app.decision.entities.keys import ApiKey, Credential, KeyScope
from app.decision.entities.learning import Experiment, Model, Variant
from app.decision.entities.measures import BehaviouralMetric, OutcomeType, Segment
from app.decision.entities.rules import ContactPolicy, QualificationRule, Scope, ScopeKind
from app.decision.entities.settings import TenantSettings

__all__ = [
    "DOCUMENT_KINDS",
    "KINDS",
    "ApiKey",
    "BehaviouralMetric",
    "Budget",
    "Category",
    "Channel",
    "ChannelType",
    "ContactPolicy",
    "Creative",
    "Credential",
    "CustomField",
    "DecisionFlow",
    "DurationMs",
    "Enrichment",
    "Entity",
    "Experiment",
    "Exponents",
    "FlowPolicies",
    "Instant",
    "Inventory",
    "KeyScope",
    "Model",
    "Money",
    "Name",
    "Offer",
    "OutcomeType",
    "Part",
    "Percent",
    "Placement",
    "Qualification",
    "QualificationRule",
    "Ranking",
    "Ref",
    "Route",
    "Scope",
    "ScopeKind",
    "Scoring",
    "Segment",
    "Status",
    "Tag",
    "TenantSettings",
    "Text",
    "Unit",
    "Variant",
    "ZoneName",
]

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
        "segments": Segment,
        "models": Model,
        "experiments": Experiment,
        "qualification-rules": QualificationRule,
        "contact-policies": ContactPolicy,
        "decision-flows": DecisionFlow,
        "tenant-settings": TenantSettings,
        "api-keys": ApiKey,
    }
)

#: The kinds that documents carry. Keys are secrets: they are made one by one, never exported, never pruned.
DOCUMENT_KINDS: Mapping[str, type[Entity]] = MappingProxyType(
    {kind: cls for kind, cls in KINDS.items() if kind != "api-keys"}
)
