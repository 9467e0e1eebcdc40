"""What the views work with: the worker's state, log, catalogue and clock, handed over once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.decision.catalogue import CatalogSnapshot
from app.decision.scoring.breaker import Breakers
from config.metrics import Metrics
from config.settings import Settings
from tables.key_uses import KeyUses
from tables.partitions import Partitions
from tables.publisher import Publisher
from tables.scoreboard import Scoreboard
from tables.spool import Spool
from tables.standby import Standby
from web.latency_budgets import LatencyBudgets


@dataclass(frozen=True)
class Engine:
    """One worker, as its views see it.

    `origin_id` names this process in decision records; `clock_ms` is epoch milliseconds; `chance` gives
    12 fresh hexadecimal digits; `lease_holds` says whether the group counts this worker as a member for sure,
    so that its state may be answered from; `owners` is the worker URL of each partition, as the group has it;
    `standbys` are the partitions copied here, None for a copy that is not open now; `scoreboard` is what is
    known across customers; `spool` keeps what Kafka does not take; `key_uses` is when API keys were used;
    `latency_budgets` are the overruns of this worker's flows, `breakers` those of its models.
    """

    settings: Settings
    partitions: Partitions
    publisher: Publisher
    catalogue: Callable[[], CatalogSnapshot]
    catalogue_ready: Callable[[], bool]
    scoreboard: Scoreboard
    lease_holds: Callable[[], bool]
    owners: Callable[[], Mapping[int, str]]
    standbys: Callable[[], Mapping[int, Standby | None]]
    spool: Spool
    metrics: Metrics
    origin_id: str
    clock_ms: Callable[[], int]
    chance: Callable[[], str]
    key_uses: KeyUses = field(default_factory=KeyUses)
    latency_budgets: LatencyBudgets = field(default_factory=LatencyBudgets)
    breakers: Breakers = field(default_factory=Breakers)
