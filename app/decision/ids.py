"""Ids that carry their partition and time, so that any worker can route them without the customer's id.

Form: `<prefix>_<partition, hex>_<epoch ms, hex>_<chance, hex>`, for example `rec_5_19a3b2c4d5e_9f3c2a17b0d4`.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

RECOMMENDATION = "rec"
TRACE = "trc"
INTERACTION = "int"
ERASURE = "ers"

_FORM = re.compile(r"(rec|trc|ers)_([0-9a-f]{1,4})_([0-9a-f]{1,12})_([0-9a-f]{8,32})")


class RoutedId(msgspec.Struct, frozen=True):
    """What an id says about itself."""

    prefix: str
    partition: int
    at_ms: int


def routed_id(prefix: str, partition: int, at_ms: int, chance: str) -> str:
    """An id of this form. `chance` is 8 to 32 hexadecimal digits, given by the caller."""
    return f"{prefix}_{partition:x}_{at_ms:x}_{chance}"


def parse_routed_id(text: str) -> RoutedId | None:
    """What the id says, or None when it is not one of ours."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    return RoutedId(match[1], int(match[2], 16), int(match[3], 16))


def stable_hash(*parts: object) -> int:
    """A 64-bit hash that is the same in every process: BLAKE2b over the parts, each with its length."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return int.from_bytes(digest.digest(), "big")
