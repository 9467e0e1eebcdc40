"""A tenant's own settings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from app.decision.entities.base import Entity, Percent, Unit, ZoneName

_DAY_MS = 86_400_000


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

    @property
    def trace_retention_ms(self) -> int:
        """How long traces are kept, ms."""
        return self.trace_retention_days * _DAY_MS
