"""The compiled catalogue: what every decision and every fold looks things up in.

Rules of this module:

1.  A snapshot never changes; a change makes a new one in which only its tenant is compiled anew.
2.  What `check_tenant` finds nothing wrong with compiles. What is wrong all the same (an older record, say)
    is left out of what it would take part in; compiling never raises.
3.  Look-ups find entities of any status by id or key; only active ones take part in decisions and metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.decision.budgets import Allowance, allowances, budgeted
from app.decision.entities import (
    ApiKey,
    BehaviouralMetric,
    ContactPolicy,
    Creative,
    Credential,
    DecisionFlow,
    Entity,
    Model,
    Offer,
    OutcomeType,
    TenantSettings,
)
from app.decision.evidence import Learner
from app.decision.experiments.compiled import compile_experiments
from app.decision.flow import CompiledFlow, Surroundings
from app.decision.index import EntityIndex, EntityKey
from app.decision.metrics import CompiledMetric, compile_metric, countable
from app.decision.origins import tenants_by_origin
from app.decision.outcomes import OUTCOME_ALIASES, SYSTEM_OUTCOMES, canonical_event_type
from app.decision.policies import SuppressionIndex, index_suppressions, suppressions_for
from app.decision.policies.counting import CountingPolicies
from app.decision.problems import Problem
from app.decision.references import check_tenant, missing_of, problems_beside, users_of
from app.decision.routing import ChannelChoice, Router
from app.decision.scopes import Standing
from app.decision.scoring.scorer import learners
from app.decision.segments import compile_segments
from app.decision.state import Suppression
from app.decision.validation import load_entity

__all__ = [
    "CatalogSnapshot",
    "ChannelChoice",
    "EntityKey",
    "HeldKey",
    "Problem",
    "TenantCatalogue",
    "check_tenant",
    "compile_tenant",
    "load_entity",
    "missing_of",
    "problems_beside",
    "users_of",
]


#: How many places in pools a publish fills for one tenant, over all its flows: less than a second's work.
MOST_WARMED = 20_000


class TenantCatalogue(EntityIndex):
    """One tenant's catalogue, compiled. `entities` is what it was compiled from."""

    __slots__ = (
        "_by_event_type",
        "_counting",
        "_outcomes",
        "_router",
        "budgeted",
        "budgets",
        "entities",
        "experiments",
        "flows",
        "learners",
        "metrics",
        "segments",
        "settings",
        "suppressing_outcomes",
        "suppressions",
        "tenant_id",
    )

    def __init__(self, tenant_id: str, entities: Mapping[EntityKey, Entity]) -> None:
        super().__init__(entities)
        self.tenant_id = tenant_id
        self.entities = entities
        settings = (one for one in self.all("tenant-settings", TenantSettings) if one.status == "active")
        #: The tenant's active settings, or the defaults.
        self.settings = next(settings, TenantSettings())
        self._outcomes: dict[str, OutcomeType] = dict(SYSTEM_OUTCOMES)
        for outcome in self.all("outcome-types", OutcomeType):
            self._outcomes.setdefault(outcome.id, outcome)
            self._outcomes.setdefault(outcome.key, outcome)
        for alias, key in OUTCOME_ALIASES.items():
            self._outcomes[alias] = self._outcomes[key]
        #: Active behavioural metrics by key.
        self.metrics: Mapping[str, CompiledMetric] = {}
        self._by_event_type: Mapping[str, tuple[CompiledMetric, ...]] = {}
        by_reference = self._compile_metrics()
        #: The filters of the active segments, by id.
        self.segments = compile_segments(self)
        #: The experiments that can run whole, of any status.
        self.experiments = compile_experiments(self)
        surroundings = Surroundings(tenant_id, self.settings, by_reference, self.segments, self.experiments)
        #: Active decision flows by id.
        self.flows: Mapping[str, CompiledFlow] = {
            flow.id: CompiledFlow(flow, self, surroundings)
            for flow in self.all("decision-flows", DecisionFlow)
            if flow.status == "active"
        }
        #: What each outcome closes under the active contact policies; see `suppressions_for`.
        self.suppressions: SuppressionIndex = index_suppressions(
            self.all("contact-policies", ContactPolicy), self
        )
        #: Outcome keys that `suppressions_of` may have an answer for.
        self.suppressing_outcomes = frozenset(self.suppressions)
        self._router = Router(self, self.flows)
        #: What the budgets of active offers and creatives allow, by `offer/<id>` and `creative/<id>`.
        self.budgets: Mapping[str, Allowance] = allowances(
            self.all("offers", Offer), self.all("creatives", Creative)
        )
        #: Offers and creatives with a budget, whatever their status: their deliveries count.
        self.budgeted = budgeted(self.all("offers", Offer), self.all("creatives", Creative))
        self._counting: CountingPolicies | None = None
        #: Active models that learn from observations, by the key of what they learn.
        self.learners: Mapping[str, Learner] = learners(self.all("models", Model))

    @property
    def counting(self) -> CountingPolicies:
        """The contact policies that count, to show their counts; compiled when first asked for."""
        if self._counting is None:
            self._counting = CountingPolicies(self)
        return self._counting

    def warm(self) -> None:
        """Make the pools of the active flows now instead of in their first requests, up to a bound."""
        room = MOST_WARMED
        for flow in sorted(self.flows.values(), key=lambda flow: not flow.definition.default):
            room = flow.warm(room)

    def _compile_metrics(self) -> Mapping[str, CompiledMetric]:
        """Fill `metrics` and what `metrics_for` answers; returns the metrics by id and by key."""
        metrics: dict[str, CompiledMetric] = {}
        by_reference: dict[str, CompiledMetric] = {}
        by_event_type: dict[str, list[CompiledMetric]] = {}
        for metric in self.all("behavioral-metrics", BehaviouralMetric):
            if metric.status != "active" or not countable(metric):
                continue
            compiled = metrics[metric.key] = compile_metric(metric)
            by_reference[metric.id] = by_reference[metric.key] = compiled
            for event_type in {canonical_event_type(name): None for name in metric.event_types}:
                by_event_type.setdefault(event_type, []).append(compiled)
        for alias, key in OUTCOME_ALIASES.items():
            if f"outcome.{key}" in by_event_type:
                by_event_type[f"outcome.{alias}"] = by_event_type[f"outcome.{key}"]
        self.metrics = metrics
        self._by_event_type = {name: tuple(found) for name, found in by_event_type.items()}
        return by_reference

    def metrics_for(self, event_type: str) -> tuple[CompiledMetric, ...]:
        """The metrics that an event of this type counts into; an outcome's type is `outcome.<key>`."""
        return self._by_event_type.get(event_type, ())

    def outcome_type(self, key: str) -> OutcomeType | None:
        """The outcome type of this key, the tenant's or a system one. `conversion` is `convert`."""
        return self._outcomes.get(key)

    def suppressions_of(self, outcome: str, standing: Standing, at_ms: int) -> Sequence[Suppression]:
        """What an outcome closes, by the active outcome_based policies of any flow.

        Args:
            outcome: Key of the outcome type, canonical.
            standing: Where what was responded to stands.
            at_ms: When it happened, epoch ms; suppressions hold from then.
        """
        return suppressions_for(self.suppressions, outcome, standing, at_ms)

    def resolve_channel(self, name: str) -> ChannelChoice | None:
        """What a request means by a channel's id, key or type; None when it is none of them."""
        return self._router.channel(name)

    def resolve_flow(
        self, ref: str | None, channel_id: str | None, placement_id: str | None
    ) -> CompiledFlow | None:
        """The flow that decides a request, or None.

        A flow that is named (id or key) is that flow or, unknown or not active, None: never another. Else
        the route for channel and placement, the route for the channel, the default flow, the active flow
        updated last; between equals the one updated last, then the lower id.

        Args:
            ref: Id or key of the flow that the request names.
            channel_id: The request's channel by id, key or type.
            placement_id: The request's (first) placement by id or key; it also tells the channel.
        """
        if ref is not None:
            flow_id = self.id_of("decision-flows", ref)
            return None if flow_id is None else self.flows.get(flow_id)
        return self._router.flow(channel_id, placement_id)


def compile_tenant(tenant_id: str, entities: Mapping[EntityKey, Entity]) -> TenantCatalogue:
    """One tenant's entities, by (kind in the plural, id), ready to decide with. Never raises."""
    return TenantCatalogue(tenant_id, entities)


class HeldKey(NamedTuple):
    """An issued API key: whose it is, what it may, and what it is recognised by."""

    tenant_id: str
    key: ApiKey
    credential: Credential


class CatalogSnapshot:
    """Every tenant's catalogue as of one version. Immutable; swapped as a whole."""

    __slots__ = ("_tenants", "api_keys", "cors_origins", "quota_tenants", "trace_retention_ms", "version")

    def __init__(self, version: int = 0, tenants: Mapping[str, TenantCatalogue] | None = None) -> None:
        self.version = version
        self._tenants: Mapping[str, TenantCatalogue] = tenants or {}
        #: The longest time that any tenant's traces are kept, ms.
        self.trace_retention_ms = max(
            (tenant.settings.trace_retention_ms for tenant in self._tenants.values()),
            default=TenantSettings().trace_retention_ms,
        )
        #: Every tenant's issued keys that are active, by the public part that they carry.
        self.api_keys: Mapping[str, tuple[HeldKey, ...]] = _keys(self._tenants)
        #: The tenants that have a quota.
        self.quota_tenants = tuple(
            tenant_id
            for tenant_id, tenant in self._tenants.items()
            if tenant.settings.quota_per_month is not None
        )
        #: The tenants that let pages of an origin call them, by origin.
        self.cors_origins: Mapping[str, frozenset[str]] = tenants_by_origin(
            {tenant_id: one.settings.cors_origins for tenant_id, one in self._tenants.items()}
        )

    def tenant(self, tenant_id: str) -> TenantCatalogue:
        """The tenant's catalogue; an empty one (with the system outcome types) for an unknown tenant."""
        found = self._tenants.get(tenant_id)
        return found if found is not None else _EMPTY

    def tenant_ids(self) -> tuple[str, ...]:
        """The tenants that have a catalogue, in order."""
        return tuple(sorted(self._tenants))

    def at_version(self, version: int) -> CatalogSnapshot:
        """The same as of a version that changed nothing."""
        return CatalogSnapshot(version, self._tenants)

    def with_changes(
        self, tenant_id: str, changes: Mapping[EntityKey, Entity | None], version: int
    ) -> CatalogSnapshot:
        """A snapshot of `version` in which these entities of one tenant are replaced, or, None, gone."""
        entities = dict(self.tenant(tenant_id).entities)
        for key, entity in changes.items():
            if entity is None:
                entities.pop(key, None)
            else:
                entities[key] = entity
        tenant = compile_tenant(tenant_id, entities)
        tenant.warm()
        return CatalogSnapshot(version, {**self._tenants, tenant_id: tenant})


def _keys(tenants: Mapping[str, TenantCatalogue]) -> Mapping[str, tuple[HeldKey, ...]]:
    found: dict[str, tuple[HeldKey, ...]] = {}
    for tenant_id, tenant in tenants.items():
        for key in tenant.all("api-keys", ApiKey):
            for credential in key.credentials if key.status == "active" else ():
                held = HeldKey(tenant_id, key, credential)
                found[credential.lookup] = (*found.get(credential.lookup, ()), held)
    return found


_EMPTY = compile_tenant("", {})
