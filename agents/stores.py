"""Where this worker's partition stores lie; active or standby, they share one memory."""

from __future__ import annotations

from config.settings import Settings
from tables.own_thread import OwnThread
from tables.store import PartitionStore, StoreMemory, remove_store


class Stores:
    """Opens and removes the stores of one worker. A store is open once at most."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data_dir / settings.app_id / "stores"
        self._memory = StoreMemory(settings.rocksdb_cache_bytes, settings.rocksdb_write_buffer_bytes)
        #: Its own: a partition must not wait for requests that use the shared threads.
        self._thread = OwnThread("stores")

    def open(self, number: int) -> PartitionStore:
        """The store of a partition, made when there is none.

        Raises:
            StateFormatError, StoreError: as of `PartitionStore`.
        """
        return PartitionStore(self._folder / f"{number}.db", self._memory)

    async def remove(self, number: int) -> None:
        """Remove a closed store's files.

        Raises:
            OSError: they cannot be moved away.
        """
        await self._thread.run(remove_store, self._folder / f"{number}.db")
