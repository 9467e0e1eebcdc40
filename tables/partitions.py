"""The partitions that this worker owns."""

from __future__ import annotations

from collections.abc import Iterator

from config.metrics import Metrics
from tables.overlays import Overlays
from tables.partition import Partition, Phase


class Partitions:
    """The partitions this worker owns, by number."""

    def __init__(self, count: int, cache_customers: int, max_waiters: int, metrics: Metrics) -> None:
        self.count = count
        self._cache_customers = cache_customers
        self._max_waiters = max_waiters
        self._metrics = metrics
        self._owned: dict[int, Partition] = {}
        #: Where the numbers of decisions go on when a partition comes back.
        self._sequences: dict[int, int] = {}

    def __iter__(self) -> Iterator[Partition]:
        return iter(tuple(self._owned.values()))

    def get(self, number: int) -> Partition | None:
        return self._owned.get(number)

    def own(self, number: int) -> Partition:
        """Begin to hold a partition; it is not ready yet."""
        share = max(self._cache_customers // self.count, 64)
        partition = Partition(number, share, self._max_waiters, self._metrics)
        partition.overlays = Overlays(self._sequences.get(number, 1))
        self._owned[number] = partition
        return partition

    def release(self, number: int, reason: str) -> None:
        """Hold the partition no more."""
        partition = self._owned.pop(number, None)
        if partition is not None:
            partition.phase = Phase.STOPPED
            partition.reason = reason
            partition.drop(reason)
            self._sequences[number] = partition.overlays.next_sequence()
