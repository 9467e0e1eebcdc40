"""Kafka batches read without trusting their headers' names to be UTF-8.

Kafka takes a header of any bytes. aiokafka decodes their names while it fetches, and one that is not UTF-8
ends the fetch, its thread, and with it a whole worker, again after each restart. Here such a batch is read a
second time, slower, with the odd bytes of its headers' names escaped; its records are folded like any other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_LENGTH = struct.Struct(">q i")


class _Escaping(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        return _Escaping(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _TolerantBatch:
    """A batch that is decoded as a whole, and again when that fails for a header's name."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            records: Iterable[Any] = list(self._batch)
        except UnicodeDecodeError:
            batch = _DefaultRecordBatchPy(self._raw)
            batch._maybe_uncompress()
            batch._buffer = _Escaping(batch._buffer)
            records = list(batch)
        return iter(records)


class TolerantRecords:
    """The batches of one fetch answer, in aiokafka's own interface."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._position = 0

    def size_in_bytes(self) -> int:
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        begin = self._position
        _, length = _LENGTH.unpack_from(self._data, begin)
        self._position = begin + _LENGTH.size + length
        return _TolerantBatch(batch, self._data[begin : self._position])


def install() -> None:
    """Let every aiokafka consumer of this process read so; there is no option for it."""
    fetcher.MemoryRecords = TolerantRecords
