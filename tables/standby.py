"""A standby: a copy of another worker's partition that follows its changelog.

Rules:

1.  Only whole batches are applied: what no control record follows yet waits. (A torn batch waits until its
    next owner has taken it back, and is applied together with that.)
2.  Records are applied in the log's order, each once, from the store's own position on. A log that goes back
    is another log, and the copy worthless.
3.  A copy that may have missed deletions which the changelog no longer has is worthless too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from config.topics import DELETE_RETENTION_MS
from tables.codec import Change
from tables.layout import CONTROL_KEY, FENCE_KEY
from tables.store import PartitionStore

#: What Kafka said longer ago, in milliseconds, says nothing of now.
SILENT_MS = 10_000


class StandbyOutdatedError(Exception):
    """The copy cannot follow its changelog any more. It must be rebuilt."""


class Standby:
    """One partition's copy.

    Args:
        store: as far as the copy has come; the standby's owner closes it.
    """

    def __init__(self, number: int, store: PartitionStore) -> None:
        self.number = number
        self.store = store
        #: Next changelog offset to read.
        self.position = store.offset + 1
        #: Changelog records that are on Kafka and not read; None while Kafka does not say.
        self.lag: int | None = None
        self._was_level = False
        self._waiting: list[Change] = []
        self._first = -1

    def follow(self, records: Sequence[Any], now_ms: int) -> int:
        """Apply what these records complete; returns how many were applied.

        Args:
            records: in the log's order, as a consumer gives them; not empty.
            now_ms: epoch milliseconds.

        Raises:
            StandbyOutdatedError: the copy must be rebuilt.
            StoreError: it was not written.
        """
        if records[0].offset < self.position:
            raise StandbyOutdatedError(
                f"the changelog is at {records[0].offset}, this copy at {self.position}"
            )
        if self.store.level_ms is not None and now_ms - self.store.level_ms > DELETE_RETENTION_MS:
            raise StandbyOutdatedError(f"it last was level {now_ms - self.store.level_ms} ms ago")
        applied = 0
        for record in records:
            self.position = record.offset + 1
            if record.key == FENCE_KEY:
                continue
            if not self._waiting:
                self._first = record.offset
            self._waiting.append((record.key, record.value))
            if record.key == CONTROL_KEY:
                applied = len(self._waiting)
        if applied:
            self._apply(records, applied)
        return applied

    def _apply(self, records: Sequence[Any], applied: int) -> None:
        last = max(record.offset for record in records if record.key == CONTROL_KEY)
        self.store.apply(self._waiting[:applied], self._first, last)
        del self._waiting[:applied]
        # What waits came after the control record, hence with these records.
        self._first = next((one.offset for one in records if one.offset > last and one.key != FENCE_KEY), -1)

    def note_end(self, end: int, heard_ms: int, now_ms: int) -> None:
        """The changelog ended at this offset when Kafka last said so, `heard_ms`; both epoch milliseconds."""
        lag = max(end - self.position, 0)
        self.lag = lag if now_ms - heard_ms <= SILENT_MS else None
        if not lag:
            self._was_level = True
            self.store.level_ms = max(heard_ms, self.store.level_ms or 0)

    @property
    def usable(self) -> bool:
        """Whether it has ever been level: what it lacks is the newest, not just anything."""
        return self._was_level
