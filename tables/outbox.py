"""Derived records, stored with the state they derive from, and published after it is safe.

Rules:

1.  A derived record enters the outbox in the batch that derives it. What the changelog holds is what
    happened; only then is it published, in order.
2.  Its content, ids included, is fixed when it enters: a crash between publish and note publishes the same
    bytes again, so that readers can tell.
3.  Entries known to be published leave with the next batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from tables.codec import Change
from tables.layout import Kind, outbox_key, pack, unpack
from tables.publisher import Derived

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Derived)


class Outbox:
    """One partition's outbox: what waits to be published, and what may be forgotten."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Derived]] = deque()
        self._fresh: list[tuple[int, Derived]] = []
        #: Bytes of the entries that wait, fresh ones included.
        self.size = 0
        #: Sequence number of the next entry.
        self.end = 0
        #: Below it, all are known to be published.
        self.published = 0
        #: Below it, none is stored any more.
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._entries) + len(self._fresh)

    @property
    def unforgotten(self) -> int:
        """Entries published whose deletion is not stored yet."""
        return self.published - self._forgotten

    def restore(self, end: int, published: int, stored: Iterable[tuple[bytes, bytes]]) -> None:
        """Take up from the state: everything stored from `published` on is published again."""
        self.end, self.published = end, published
        self._forgotten = published
        self._fresh.clear()
        self._entries.clear()
        self.size = 0
        for key, value in stored:
            sequence = int.from_bytes(key[1:], "big")
            self._forgotten = min(self._forgotten, sequence)
            if sequence >= published:
                derived = _decoder.decode(unpack(Kind.OUTBOX, value))
                self._entries.append((sequence, derived))
                self.size += _size(derived)

    def add(self, derived: Derived) -> None:
        """Part of the batch being folded."""
        self._fresh.append((self.end, derived))
        self.end += 1
        self.size += _size(derived)

    def changes(self) -> Iterator[Change]:
        """What the batch being written stores: new entries, and deletions of published ones."""
        for sequence, derived in self._fresh:
            yield outbox_key(sequence), pack(Kind.OUTBOX, _encoder.encode(derived))
        for sequence in range(self._forgotten, self.published):
            yield outbox_key(sequence), None

    def written(self, published: int) -> None:
        """The batch is stored, with deletions below `published`; its entries may go out."""
        self._entries.extend(self._fresh)
        self._fresh.clear()
        self._forgotten = published

    def waiting(self) -> Iterator[tuple[int, Derived]]:
        """Stored entries not published yet, in order."""
        return iter(tuple(self._entries))

    def note_published(self, sequence: int) -> None:
        """This entry, the oldest waiting, is on Kafka."""
        first, derived = self._entries.popleft()
        if first != sequence:
            raise AssertionError(f"published {sequence}, the oldest waiting is {first}")
        self.published = sequence + 1
        self.size -= _size(derived)


def _size(derived: Derived) -> int:
    return len(derived.key or b"") + len(derived.value or b"")
