"""Erased customers: the marker that bars the way back, and what may be told of an erasure.

Rules:

1.  The marker stands under the customer's hash. While nothing was folded since the erasure it is all there
    is of the customer, watermarks included; afterwards those are in the customer's head, and the marker keeps
    the instant alone. So what is stored depends on what was folded, not on how that was cut into batches.
2.  What may be told stands under the erasure's id, in time order, and names the customer by its hash.
3.  Both are kept as long as a raw topic may hold a record of before the erasure; then they go, oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from app.decision.erasing import nothing_new
from app.decision.ids import parse_routed_id
from app.decision.state import Customer, Erasure
from config.topics import RAW_RETENTION_MS
from tables.layout import Kind, customer_hash, customer_key, erased_key, erasure_key, pack, unpack

if TYPE_CHECKING:
    from tables.store import PartitionStore

#: Markers are kept for this long after the erasure was asked for: records of before it expire meanwhile.
ERASURE_KEPT_MS = RAW_RETENTION_MS


class _Marker(msgspec.Struct, array_like=True):
    """The stored marker. Append fields only at the end, with a default."""

    erasure_id: str
    requested_ms: int
    erased_ms: int
    watermarks: list[int] = []
    rekeyed: dict[str, int] = {}


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """What may be told of an erasure. Append fields only at the end, with a default."""

    tenant_id: str
    customer_hash: bytes
    requested_ms: int
    erased_ms: int


_encoder = msgspec.msgpack.Encoder()
_marker = msgspec.msgpack.Decoder(_Marker)
_fact = msgspec.msgpack.Decoder(Fact)


def load_erasure(key: bytes, get: Callable[[bytes], bytes | None]) -> tuple[Erasure, _Marker] | None:
    """A customer's erasure, with the marker, or None."""
    value = get(erased_key(customer_hash(key)))
    if value is None:
        return None
    marker = _marker.decode(unpack(Kind.ERASED, value))
    return Erasure(marker.erasure_id, marker.requested_ms, marker.erased_ms), marker


def erasure_changes(customer: Customer, erasure: Erasure) -> Iterator[tuple[bytes, bytes]]:
    """The marker of an erased customer as it must be stored now, and what may be told."""
    hashed = customer_hash(customer_key(customer.tenant_id, customer.customer_id))
    marker = _Marker(erasure.erasure_id, erasure.requested_ms, erasure.erased_ms)
    if nothing_new(customer):
        marker.watermarks, marker.rekeyed = customer.watermarks, customer.rekeyed
    yield erased_key(hashed), pack(Kind.ERASED, _encoder.encode(marker))
    # With each marker: one that is written after all expired goes again with its fact.
    yield fact_change(customer, erasure)


def fact_change(customer: Customer, erasure: Erasure) -> tuple[bytes, bytes]:
    """What may be told of an erasure, to be stored."""
    hashed = customer_hash(customer_key(customer.tenant_id, customer.customer_id))
    fact = Fact(customer.tenant_id, hashed, erasure.requested_ms, erasure.erased_ms)
    return _fact_key(erasure.erasure_id), pack(Kind.ERASURE, _encoder.encode(fact))


def find_fact(erasure_id: str, get: Callable[[bytes], bytes | None]) -> Fact | None:
    """What may be told of an erasure, or None when none has this id."""
    value = get(_fact_key(erasure_id))
    return None if value is None else _fact.decode(unpack(Kind.ERASURE, value))


def any_erased(store: PartitionStore) -> bool:
    """Whether a store has any marker: without one, none is looked for."""
    return next(store.scan(Kind.ERASED.value), None) is not None


def expired_erasures(store: PartitionStore, before_ms: int, limit: int) -> Iterator[bytes]:
    """Keys of the oldest erasures, those before an instant, and of their markers; at most `limit`."""
    end = erasure_key(before_ms, "")
    for count, (key, value) in enumerate(store.scan(Kind.ERASURE.value)):
        if key >= end or count >= limit:
            return
        yield key
        hashed = _fact.decode(unpack(Kind.ERASURE, value)).customer_hash
        stored = store.get(erased_key(hashed))
        # Another erasure since owns the marker.
        if stored is not None and _fact_key(_marker.decode(unpack(Kind.ERASED, stored)).erasure_id) == key:
            yield erased_key(hashed)


def _fact_key(erasure_id: str) -> bytes:
    routed = parse_routed_id(erasure_id)
    return erasure_key(0 if routed is None else routed.at_ms, erasure_id)
