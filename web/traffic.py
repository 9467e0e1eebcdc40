"""How much one worker serves at once: requests in flight, and bodies that are arriving.

Rules:

1.  A request that waits for its body is not in flight: its sender decides how long that takes. When the body
    is there, it needs a place like one that has just come.
2.  Bodies that arrive have bounds of their own, for each tenant and for all together, so that one tenant's
    slow senders take no other's places. A body that came with its head pays nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from web.errors import overloaded


class Places:
    """Places that tenants share, of which each may hold a part."""

    __slots__ = ("_each", "_held", "_most", "total")

    def __init__(self, each: int, most: int) -> None:
        self._each = each
        self._most = most
        self._held: Counter[str] = Counter()
        #: How many are held.
        self.total = 0

    @contextmanager
    def one(self, tenant_id: str) -> Iterator[None]:
        """Hold a place.

        Raises:
            ApiError: 503 OVERLOADED when the tenant has its part, or none is free.
        """
        if self.total >= self._most or self._held[tenant_id] >= self._each:
            raise overloaded()
        self._held[tenant_id] += 1
        self.total += 1
        try:
            yield
        finally:
            self.total -= 1
            self._held[tenant_id] -= 1
            if not self._held[tenant_id]:
                del self._held[tenant_id]


class Traffic:
    """What one worker is serving, of all views together.

    Args:
        limit: requests in flight, and bodies that arrive; a quarter of these for one tenant.
    """

    __slots__ = ("bodies", "in_flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.bodies = Places(max(limit // 4, 1), limit)

    def check(self) -> None:
        """Raises ApiError, 503 OVERLOADED, when there are more in flight than there may be."""
        if self.in_flight > self.limit:
            raise overloaded()

    @contextmanager
    def arriving(self, tenant_id: str, places: Places | None = None) -> Iterator[None]:
        """Give the request's place back while its body arrives.

        Args:
            places: of a view whose bodies are larger than most.

        Raises:
            ApiError: 503 OVERLOADED when too many bodies arrive, or none is free when it is there.
        """
        with (places or self.bodies).one(tenant_id):
            self.in_flight -= 1
            try:
                yield
            finally:
                self.in_flight += 1
        self.check()
