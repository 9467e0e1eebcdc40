"""A long list of a customer's, in segments: one more entry rewrites at most one of them.

Rules of this module:

1.  Entries have sequence numbers; segment s holds the numbers [s × size, (s + 1) × size).
2.  Entries are added at the end and forgotten at the front, whole segments at a time.
3.  A log knows which segments its store lacks, and which it has too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Never changed.
_NOTHING: list[Any] = []


class Log(Generic[T]):
    """An append-only list with a numbered front, stored in segments of `size` entries.

    Invariant: entry i has sequence number `base + i`; segment s holds the sequence numbers
    [s * size, (s + 1) * size); `base` is a multiple of `size`.
    """

    __slots__ = ("base", "changed_from", "entries", "size", "stored_base")

    def __init__(self, size: int, base: int = 0, entries: list[T] | None = None) -> None:
        self.size = size
        self.base = base
        #: Most customers have nothing in most logs: until the first entry they share one empty list.
        self.entries: list[T] = entries or _NOTHING
        #: First segment in the store; those between it and `base` await deletion.
        self.stored_base = base
        #: Sequence number from which the store is behind; None when it is level.
        self.changed_from: int | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self.entries)

    @property
    def end(self) -> int:
        """The sequence number of the next entry."""
        return self.base + len(self.entries)

    def append(self, entry: T) -> None:
        if self.changed_from is None:
            self.changed_from = self.end
        if self.entries is _NOTHING:
            self.entries = []
        self.entries.append(entry)

    def replace(self, index: int, entry: T) -> None:
        """Put another entry in the place of the one at this index (0-based, from `base`)."""
        sequence = self.base + index
        if self.changed_from is None or sequence < self.changed_from:
            self.changed_from = sequence
        self.entries[index] = entry

    def trim(self, keep: int, expired: Callable[[T], bool]) -> list[T]:
        """Forget whole segments from the front: those past `keep` entries, or all of whose entries expired.

        Returns the entries that went, oldest first. Entries within the bounds always stay; up to one
        segment more than `keep` may stay.
        """
        gone = 0
        while len(self.entries) - gone >= self.size:
            segment = self.entries[gone : gone + self.size]
            over = len(self.entries) - gone - self.size >= keep
            if not over and not all(expired(entry) for entry in segment):
                break
            gone += self.size
        if not gone:
            return []
        forgotten = self.entries[:gone]
        del self.entries[:gone]
        self.base += gone
        if self.changed_from is not None:
            self.changed_from = max(self.changed_from, self.base)
        return forgotten

    def rewrite(self, entries: list[T]) -> None:
        """Put other entries in the place of all: the segments there are go, the new ones come after them."""
        self.base = -(-self.end // self.size) * self.size
        self.entries = entries or _NOTHING
        self.changed_from = self.base if entries else None

    def segment(self, number: int) -> list[T]:
        """The entries of one segment, as the store keeps it."""
        start = number * self.size - self.base
        return self.entries[max(start, 0) : start + self.size]

    def changed_segments(self) -> range:
        """Numbers of the segments that the store must write."""
        if self.changed_from is None or not self.entries:
            return range(0)
        return range(self.changed_from // self.size, (self.end - 1) // self.size + 1)

    def dropped_segments(self) -> range:
        """Numbers of the segments that the store must delete."""
        return range(self.stored_base // self.size, self.base // self.size)

    def settle(self) -> None:
        """The store is level with this log."""
        self.changed_from = None
        self.stored_base = self.base
