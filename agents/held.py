"""A partition being taken or held by this worker: what runs for it, and what is known of its failures."""

from __future__ import annotations

import asyncio

import msgspec

from agents.fold_loop import FoldLoop
from tables.partition import Partition
from tables.store import PartitionStore

#: Folding a record is tried this often.
_FOLD_TRIES = 2


class Held(msgspec.Struct):
    """One partition.

    `rebuild` says that the store's files must go before it is opened again; `failed_s` when it last failed,
    boot time, 0 when it never did. `poison` are records not to be folded, by (topic index, offset).
    """

    partition: Partition
    task: asyncio.Task[None]
    loop: FoldLoop | None = None
    store: PartitionStore | None = None
    rebuild: bool = False
    failed_s: float = 0.0
    failures: dict[tuple[int, int], int] = {}
    poison: set[tuple[int, int]] = set()

    def note_failed_record(self, topic: int, offset: int) -> None:
        """Folding this record failed; the second time it is poison."""
        record = (topic, offset)
        self.failures[record] = self.failures.get(record, 0) + 1
        if self.failures[record] >= _FOLD_TRIES:
            self.poison.add(record)
