"""One partition's RocksDB: opened, read, and changed by whole batches that carry their changelog offset.

Rules:

1.  A batch and the changelog offset it ends at are one atomic write, so the store is always exactly the
    changelog up to `offset`. A batch that does not continue that offset is refused.
2.  Memory is bounded for all partitions of a worker together: one block cache and one write-buffer budget
    that is charged to it. (Faust's default is a cache of 2 GiB and 192 MiB of buffers for each partition.)
3.  The write-ahead log is on and not synced: a killed process loses nothing, a lost machine loses a tail
    that the changelog replays.
4.  What RocksDB cannot read is never taken for absent: it raises, and a damaged store says so once and for
    all (`damage`), so that its owner rebuilds it from the changelog.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import rocksdict
import structlog
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteBufferManager

from tables.codec import Change
from tables.control import ORIGIN, Control, decode_control
from tables.layout import CONTROL_KEY, FORMAT_KEY, OFFSET_KEY, STORE_FORMAT, StateFormatError

#: RocksDB keeps this many files open for each partition; past it, tables are reopened as needed.
MAX_OPEN_FILES = 128

log = structlog.get_logger(__name__)


class StoreError(Exception):
    """RocksDB failed. `damaged` says that files are lost or corrupt, which only a rebuild mends.

    Internal. Without damage (a full disk, a store still open elsewhere) retryable.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        text = str(error)
        super().__init__(f"{path}: {text}")
        self.damaged = "Corruption" in text or "No such file" in text


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
            StoreError: it cannot be opened.
        """
        self.path = path
        #: Why it must be rebuilt, once that is known.
        self.damage: Exception | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = Rdict(str(path), options=memory.options())
        except Exception as error:
            raise self._failed(error) from error
        try:
            #: Changelog offset of the last record applied; -1 when empty.
            self.offset = self._begin()
            #: When it is known to have held all of its changelog, epoch ms; None when it is empty. What it
            #: missed since may have been deleted from the changelog for good.
            self.level_ms = self.control().now_ms if self.offset >= 0 else None
        except BaseException:
            self.close()
            raise

    def _begin(self) -> int:
        found, stored = self.get(FORMAT_KEY), self.get(OFFSET_KEY)
        if found is None and stored is None:
            self._db.put(FORMAT_KEY, STORE_FORMAT)
        elif found != STORE_FORMAT:
            raise StateFormatError(f"{self.path} has format {found!r}, this program reads {STORE_FORMAT!r}")
        return int(stored) if stored is not None else -1

    def get(self, key: bytes) -> bytes | None:
        """The value, or None.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            raise self._failed(error) from error
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
            StoreError: it was not written.
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
        try:
            self._db.write(batch)
        except Exception as error:
            raise self._failed(error) from error
        self.offset = last_offset

    def scan(self, prefix: bytes, begin: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys and values under a prefix, in key order, as of now; from `begin` on, if that is given.

        Raises:
            StoreError: one of them cannot be read.
        """
        entries = self._db.iter()
        entries.seek(begin or prefix)
        while entries.valid():
            key: bytes = entries.key()
            if not key.startswith(prefix):
                return
            yield key, entries.value()
            entries.next()
        try:
            # An iterator that meets a corrupt block ends like one that is through; only this tells.
            entries.status()
        except Exception as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the files, whatever RocksDB says: what it cannot flush any more the changelog has."""
        try:
            self._db.close()
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            log.warning("a store was closed with an error", store=str(self.path), error=str(error))

    def _failed(self, error: Exception) -> StoreError:
        failed = StoreError(self.path, error)
        if failed.damaged:
            self.damage = failed
        return failed


def remove_store(path: Path) -> None:
    """Remove a closed store's files, and what earlier removals left.

    It is moved away first: a removal that stops half-way must not leave half a store in its place.

    Raises:
        OSError: it cannot be moved away.
    """
    if path.exists():
        path.rename(path.with_name(f"{path.name}.gone-{time.time_ns()}"))
    for gone in path.parent.glob(f"{path.name}.gone-*"):
        shutil.rmtree(gone, ignore_errors=True)
