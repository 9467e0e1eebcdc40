"""The one table, declared to Faust: its name, changelog and partitions; its values live in the stores.

Faust needs a table to assign its changelog's partitions beside the topics' (and standbys, in time). Reading
and writing go through the partitions: a batch is atomic, a `table[key] = value` cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faust
from faust.stores import base
from faust.types import TP

from tables.partitions import Partitions


class WriteThroughFoldError(TypeError):
    """The table was written directly. A programming error: only the fold changes state."""


class HostedStore(base.SerializedStore[bytes, bytes]):
    """Faust's view of the partitions held here: raw keys and values, read only."""

    mundane_level = "debug"

    partitions: Partitions

    def persisted_offset(self, tp: TP) -> int | None:
        partition = self.partitions.get(tp.partition)
        if partition is None or partition.store is None or partition.store.offset < 0:
            return None
        return partition.store.offset

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Nothing: a batch writes its own offset."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        return True

    async def backup_partition(
        self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1
    ) -> None:
        """Nothing: the changelog is the backup."""

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """Nothing: a partition is rebuilt from its changelog."""

    def reset_state(self) -> None:
        """Nothing: removing a store's folder resets it."""

    def _get(self, key: bytes) -> bytes | None:
        for partition in self.partitions:
            if partition.store is not None and (value := partition.store.get(key)) is not None:
                return value
        return None

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _set(self, key: bytes, value: bytes | None) -> None:
        raise WriteThroughFoldError("only the fold changes state")

    def _del(self, key: bytes) -> None:
        raise WriteThroughFoldError("only the fold changes state")

    def _clear(self) -> None:
        raise WriteThroughFoldError("only the fold changes state")

    def _iteritems(self) -> Iterator[tuple[bytes, bytes]]:
        for partition in self.partitions:
            if partition.store is not None:
                yield from partition.store.scan(b"")

    def _iterkeys(self) -> Iterator[bytes]:
        return (key for key, _ in self._iteritems())

    def _itervalues(self) -> Iterator[bytes | None]:
        return (value for _, value in self._iteritems())

    def _size(self) -> int:
        return sum(1 for _ in self._iteritems())


class HostedTable(faust.Table[bytes, bytes]):
    """The table `customers`, bytes to bytes."""

    mundane_level = "debug"

    partitions_held: Partitions

    def _new_store(self) -> HostedStore:
        store = HostedStore(
            "hosted://",
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            loop=self.loop,
        )
        store.partitions = self.partitions_held
        return store


def declare_table(app: faust.App, name: str, partitions: Partitions, count: int) -> HostedTable:
    """The table, added to the app.

    Args:
        count: its partitions; the customer topics have as many.
    """
    table = HostedTable(app, name=name, key_type=bytes, value_type=bytes, partitions=count)
    table.partitions_held = partitions
    added: Any = app.tables.add(table)
    assert isinstance(added, HostedTable)
    return added
