"""What the views work with: the worker's state, log, catalogue and clock, handed over once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.decision.catalogue import CatalogSnapshot
from app.decision.scoring.breaker import Breakers
from config.metrics import Metrics
from config.settings import Settings
from tables.audit_pages import AuditPages
from tables.catalogue_desk import Desk
from tables.key_uses import KeyUses
from tables.partitions import Partitions
from tables.publisher import Publisher
from tables.scoreboard import Scoreboard
from tables.spool import Spool
from tables.standby import Standby
from web.latency_budgets import LatencyBudgets
from web.limits import Limits
from web.quota import Quota
from web.turns import Turns


@dataclass(frozen=True)
class Engine:
    """One worker, as its views see it.

    `origin_id` names this process in decision records; `clock_ms` is epoch milliseconds; `chance` gives
    12 fresh hexadecimal digits; `lease_holds` says whether the group counts this worker as a member for sure,
    so that its state may be answered from; `owners` is the worker URL of each partition, as the group has it;
    `standbys` are the partitions copied here, None for a copy that is not open now; `scoreboard` is what is
    known across customers; `key_uses` is when API keys were used; `desk` changes catalogues, on the owner of
    partition 0; `audit` is what was changed; `limits` and `quota` are what its tenants may call and decide;
    `turns` are those of calls with the same idempotency key; `spool` keeps what Kafka does not
    take; `latency_budgets` are the overruns of this worker's flows, `breakers` those of its models.
    """

    settings: Settings
    partitions: Partitions
    publisher: Publisher
    catalogue: Callable[[], CatalogSnapshot]
    catalogue_ready: Callable[[], bool]
    desk: Desk
    audit: AuditPages
    scoreboard: Scoreboard
    lease_holds: Callable[[], bool]
    owners: Callable[[], Mapping[int, str]]
    standbys: Callable[[], Mapping[int, Standby | None]]
    spool: Spool
    metrics: Metrics
    origin_id: str
    clock_ms: Callable[[], int]
    chance: Callable[[], str]
    limits: Limits
    quota: Quota
    turns: Turns = field(default_factory=Turns)
    key_uses: KeyUses = field(default_factory=KeyUses)
    latency_budgets: LatencyBudgets = field(default_factory=LatencyBudgets)
    breakers: Breakers = field(default_factory=Breakers)
