"""What one decision may still spend of shared budgets: the partition's lease, less what is under way."""

from __future__ import annotations

from app.decision.budgets import day_of
from app.decision.catalogue import TenantCatalogue
from tables.layout import shared_key
from tables.leases import Leases
from tables.overlays import Overlays


class Rooms:
    """One tenant's budgets at one instant, as `app.decision.shared.Budgets` asks for them.

    Args:
        leases: the partition's.
        overlays: its decisions under way.
        tenant: whose budgets.
        now_ms: the decision's instant, epoch milliseconds.
        asks: whether what is found empty is asked for; not by who only wants to know.
    """

    __slots__ = ("_asks", "_leases", "_now_ms", "_overlays", "_tenant")

    def __init__(
        self, leases: Leases, overlays: Overlays, tenant: TenantCatalogue, now_ms: int, asks: bool = True
    ) -> None:
        self._asks = asks
        self._leases = leases
        self._overlays = overlays
        self._tenant = tenant
        self._now_ms = now_ms

    def room(self, key: str, /) -> int:
        """Deliveries that may still be made now; 0 without a lease. What is found empty may be asked for."""
        allowed = self._tenant.budgets.get(key)
        if allowed is None:
            return 0
        name = shared_key(self._tenant.tenant_id, key)
        day = day_of(self._tenant.settings.time_zone, self._now_ms).name
        under_way = self._overlays.deliveries(name)
        room = min(
            # Never past the limit itself: it may have been lowered below what was granted.
            min(self._leases.left((name, period)), (allowed.limit(period) or 0) - self._spent(name, period))
            for period in allowed.periods(day)
        )
        room = max(room - under_way, 0)
        if room == 0 and self._asks:
            self._leases.hungry[name] = None
            self._leases.low[name] = None
            self._leases.woken.set()
        return room

    def _spent(self, name: bytes, period: str) -> int:
        return self._leases.holding((name, period)).spent
