"""A tenant's own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Percent, Unit, ZoneName

_DAY_MS = 86_400_000

#: `scheme://host[:port]`; looked at closer in `validation`.
Origin = Annotated[str, Meta(min_length=1, max_length=300)]
HostName = Annotated[str, Meta(min_length=1, max_length=253)]
TopicName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}(?![\s\S])")]


class TenantSettings(Entity, frozen=True, kw_only=True):
    """A tenant's own settings; it has one such entity at most."""

    stale_reads: bool = False
    time_zone: ZoneName = "UTC"
    #: What the tenant's amounts are in, for who reads them; nothing computes with it.
    currency: Annotated[str, Meta(min_length=3, max_length=3)] | None = None
    unknown_customers: Literal["reject", "allow"] = "reject"
    consent_default: Literal["allow", "deny"] = "allow"
    holdout_percent: Percent = 0
    trace_sample_rate: Unit = 0.0
    trace_retention_days: Annotated[int, Meta(ge=1, le=365)] = 7
    trust_request_segments: bool = False
    tier: Literal["community", "professional", "enterprise"] = "enterprise"
    #: Calls a minute that an enterprise tenant may make; none is no bound. The other tiers have their own.
    rate_limit_per_min: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    #: Recommends with a decision in a UTC month; none is no bound.
    quota_per_month: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    #: Origins that browsers may call from, each exactly as they send it.
    cors_origins: Annotated[tuple[Origin, ...], Meta(max_length=100)] = ()
    webhook_allow_list: Annotated[tuple[HostName, ...], Meta(max_length=100)] = ()
    publish_topics: Annotated[tuple[TopicName, ...], Meta(max_length=100)] = ()

    @property
    def trace_retention_ms(self) -> int:
        """How long traces are kept, ms."""
        return self.trace_retention_days * _DAY_MS
