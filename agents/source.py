"""Where a partition's records come from, as far as its owner and its fold need to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Source(Protocol):
    """The consumer. Topics are indexes of SOURCE_TOPICS."""

    async def bounds(self, partition: int) -> Mapping[int, tuple[int, int]]:
        """Offsets of the first record kept and after the last one, by topic."""
        ...

    def heads(self, partition: int) -> Mapping[int, int]:
        """The newest offsets known after the last records, by topic; may lag behind, costs nothing."""
        ...

    def heard_ms(self, partition: int) -> int:
        """When Kafka last answered a fetch of this partition, epoch milliseconds; 0 when it never did."""
        ...

    async def resume(self, partition: int, positions: Mapping[int, int]) -> None:
        """Seek there and fetch."""
        ...

    async def confirmed(self, since_s: float) -> None:
        """Return once the group has confirmed this worker lately, and after `since_s` (boot time)."""
        ...

    def pause(self, partition: int) -> None:
        """Fetch no more of this partition."""
        ...
