"""Buckets: where a customer falls in a division of all customers that stays the same for ever.

Rules of this module:

1.  The hash is FNV-1a of 64 bits (Fowler, Noll and Vo; RFC 9923) over salt and customer: it has no key and no
    state, so every process, in every version, puts a customer in the same place.
2.  FNV-1a alone will not do: it hardly mixes the last bytes into its high bits, and its results under two
    salts go together, so that a holdout and an experiment would pick the same customers. They go through the
    finaliser of MurmurHash3 (`fmix64`, Appleby, 2011; public domain), which is a bijection.
3.  Each division has its own salt, so that being in one says nothing about being in another.
"""

from __future__ import annotations

_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 2**64 - 1
#: A bucket keeps 53 bits, as many as a float holds: the result is exact, and below 100.
_BITS = 53
_BUCKETS = 1 << _BITS


def fnv1a_64(data: bytes) -> int:
    """The FNV-1a hash of some bytes, 0 to 2^64 - 1."""
    found = _OFFSET_BASIS
    for byte in data:
        found = (found ^ byte) * _PRIME & _MASK
    return found


def fmix64(value: int) -> int:
    """A 64-bit number with every bit spread over all others, 0 to 2^64 - 1."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & _MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33


def bucket(salt_key: str, customer_id: str) -> float:
    """Where a customer falls in a division of all customers: a percentage in [0, 100).

    A share of p percent are the customers below p, so a share that grows keeps the customers it has.

    Args:
        salt_key: Names the division, as in `holdout/shop`.
        customer_id: Any text.
    """
    salted = f"{salt_key}\x00{customer_id}".encode("utf-8", "surrogatepass")
    return (fmix64(fnv1a_64(salted)) >> 64 - _BITS) * 100 / _BUCKETS
