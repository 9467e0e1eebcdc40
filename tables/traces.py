"""One partition's traces: stored by time, so that the oldest go first, and found by their customer.

Rules:

1.  A trace and what finds it by its customer are written together, and go together.
2.  What finds it names the customer by a hash, as the trace's value does: neither key holds a customer's id.
3.  Traces from before that (bare JSON) are found by their id alone: an erasure takes those that the
    customer's recommendations name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tables.codec import Change
from tables.layout import HASH_BYTES, Kind, customer_hash, pack, trace_key, trace_of_key, unpack
from tables.store import PartitionStore

_BARE = ord("{")
_FOUND = pack(Kind.TRACES_OF, b"")


class Traces:
    """The traces of one partition: those of the batch in hand, and the stored ones."""

    def __init__(self) -> None:
        self._store: PartitionStore | None = None
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        """What the batch in hand writes."""
        return len(self._changes)

    def attach(self, store: PartitionStore | None) -> None:
        """Take up with the recovered store, or with none."""
        self._store = store
        self._changes.clear()

    def keep(self, customer: bytes, at_ms: int, trace_id: str, trace: bytes) -> None:
        """Store a trace as it is served, JSON, with the batch in hand."""
        key, hashed = trace_key(at_ms, trace_id), customer_hash(customer)
        self._changes[key] = pack(Kind.TRACE, hashed + trace)
        self._changes[trace_of_key(hashed, key)] = _FOUND

    def get(self, at_ms: int, trace_id: str) -> bytes | None:
        """The trace as it is served, JSON, when it is kept.

        Raises:
            StateFormatError: its version is unknown.
            StoreError: it cannot be read.
        """
        key = trace_key(at_ms, trace_id)
        value = self._changes[key] if key in self._changes else self._stored(key)
        if value is None:
            return None
        return bytes(unpack(Kind.TRACE, value)[HASH_BYTES:]) if value[0] != _BARE else value

    def erase(self, customer: bytes, named: Iterable[tuple[int, str]]) -> None:
        """Remove all traces of a customer with the batch in hand.

        Args:
            customer: its key.
            named: instant (epoch ms) and id of traces that its recommendations name.
        """
        prefix = trace_of_key(customer_hash(customer), b"T")
        fresh = [key for key in self._changes if key.startswith(prefix)]
        stored = [] if self._store is None else [key for key, _ in self._store.scan(prefix)]
        for key in (*fresh, *stored):
            self._changes[key] = self._changes[Kind.TRACE.value + key[len(prefix) :]] = None
        for at_ms, trace_id in named:
            self._changes[trace_key(at_ms, trace_id)] = None

    def expired(self, before_ms: int, limit: int) -> Iterator[bytes]:
        """Keys of the oldest stored traces made before an instant, at most `limit` traces."""
        if self._store is None:
            return
        end = trace_key(before_ms, "")
        for count, (key, value) in enumerate(self._store.scan(Kind.TRACE.value)):
            if key >= end or count >= limit:
                return
            yield key
            if value[0] != _BARE:
                yield trace_of_key(value[1 : 1 + HASH_BYTES], key)

    def changes(self) -> Iterable[Change]:
        """What the batch in hand writes and deletes."""
        return self._changes.items()

    def written(self) -> None:
        """The batch is stored."""
        self._changes.clear()

    def _stored(self, key: bytes) -> bytes | None:
        if self._store is None:
            raise AssertionError("traces are read from a store")
        return self._store.get(key)
