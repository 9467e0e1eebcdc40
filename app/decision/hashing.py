"""Buckets: where a customer falls in a division of all customers that stays the same for ever.

Rules of this module:

1.  The hash is FNV-1a of 64 bits (Fowler, Noll and Vo; RFC 9923): it has no key and no state, so every
    process, in every version, puts a customer in the same place.
2.  A bucket is the remainder of the whole hash, not its top bits: the last characters of an id hardly reach
    those, and customers are often numbered.
3.  Each division has its own salt, so that being in one says nothing about being in another.
"""

from __future__ import annotations

_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 2**64 - 1
#: Buckets are this fine: a ten-thousandth of a percent.
_BUCKETS = 1_000_000


def fnv1a_64(data: bytes) -> int:
    """The FNV-1a hash of some bytes, 0 to 2^64 - 1."""
    found = _OFFSET_BASIS
    for byte in data:
        found = (found ^ byte) * _PRIME & _MASK
    return found


def bucket(salt_key: str, customer_id: str) -> float:
    """Where a customer falls in a division of all customers: a percentage in [0, 100).

    A share of p percent are the customers below p, so a share that grows keeps the customers it has.

    Args:
        salt_key: Names the division, as in `holdout/shop`.
        customer_id: Any text.
    """
    salted = f"{salt_key}\x00{customer_id}".encode("utf-8", "surrogatepass")
    return fnv1a_64(salted) % _BUCKETS * 100 / _BUCKETS
