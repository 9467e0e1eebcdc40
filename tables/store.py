"""One partition's RocksDB: opened, read, and changed by whole batches that carry their changelog offset.

Rules:

1.  A batch and the changelog offset it ends at are one atomic write, so the store is always exactly the
    changelog up to `offset`. A batch that does not continue that offset is refused.
2.  Memory is bounded for all partitions of a worker together: one block cache and one write-buffer budget
    that is charged to it. (Faust's default is a cache of 2 GiB and 192 MiB of buffers for each partition.)
3.  The write-ahead log is on and not synced: a killed process loses nothing, a lost machine loses a tail
    that the changelog replays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import rocksdict
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager

from tables.codec import Change
from tables.control import ORIGIN, Control, decode_control
from tables.layout import CONTROL_KEY, FORMAT_KEY, OFFSET_KEY, STORE_FORMAT, StateFormatError

#: RocksDB keeps this many files open for each partition; past it, tables are reopened as needed.
MAX_OPEN_FILES = 128


class StoreGapError(Exception):
    """A batch does not continue the store's own position. Internal: the partition must be recovered."""


class StoreMemory:
    """The memory that all partition stores of one worker share.

    Args:
        cache_bytes: block cache of all stores together.
        write_buffer_bytes: memtables of all stores together, charged to the cache.
    """

    def __init__(self, cache_bytes: int, write_buffer_bytes: int) -> None:
        self.cache = Cache(cache_bytes)
        self.write_buffer_bytes = write_buffer_bytes
        self.write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            write_buffer_bytes, False, self.cache
        )

    def options(self) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_open_files(MAX_OPEN_FILES)
        options.set_write_buffer_manager(self.write_buffers)
        options.set_write_buffer_size(max(self.write_buffer_bytes // 4, 1 << 20))
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        options.set_max_total_wal_size(max(self.write_buffer_bytes, 1 << 20))
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_bloom_filter(10, False)
        table.set_block_size(8 * 1024)
        options.set_block_based_table_factory(table)
        return options


class PartitionStore:
    """The durable state of one partition, as this worker holds it."""

    def __init__(self, path: Path, memory: StoreMemory) -> None:
        """Open the store, creating it when there is none.

        Raises:
            StateFormatError: another format lies there; see its advice.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(path), options=memory.options())
        found = self._db.get(FORMAT_KEY)
        if found is None and self._db.get(OFFSET_KEY) is None:
            self._db.put(FORMAT_KEY, STORE_FORMAT)
        elif found != STORE_FORMAT:
            self._db.close()
            raise StateFormatError(f"{path} has format {found!r}, this program reads {STORE_FORMAT!r}")
        stored = self._db.get(OFFSET_KEY)
        #: Changelog offset of the last record applied; -1 when empty.
        self.offset = int(stored) if stored is not None else -1

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def control(self) -> Control:
        """The partition's position, as of the last batch applied.

        Raises:
            StateFormatError: an unknown version.
        """
        value = self.get(CONTROL_KEY)
        return ORIGIN if value is None else decode_control(value)

    def apply(self, changes: Iterable[Change], first_offset: int, last_offset: int) -> None:
        """Write one batch and the offset it ends at, atomically.

        Args:
            changes: keys and values; None deletes.
            first_offset: changelog offset of the batch's first record; compaction may leave holes before it.
            last_offset: changelog offset of its last record.

        Raises:
            StoreGapError: the batch begins before the store's position.
        """
        if first_offset <= self.offset or last_offset < first_offset:
            raise StoreGapError(f"batch {first_offset}..{last_offset} does not continue offset {self.offset}")
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        put(OFFSET_KEY, str(last_offset).encode())
        self._db.write(batch)
        self.offset = last_offset

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values under a prefix, in key order, as of now."""
        items: Iterator[tuple[Any, Any]] = self._db.items(from_key=prefix)
        for key, value in items:
            if not key.startswith(prefix):
                return
            yield key, value

    def close(self) -> None:
        self._db.close()

    def destroy(self) -> None:
        """Close the store and remove its files, so that it is rebuilt from the changelog."""
        self._db.close()
        shutil.rmtree(self.path, ignore_errors=False)
