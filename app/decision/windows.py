"""What state keeps of one behavioural metric of one customer.

Rules of this module:

1.  Part of the stored format: fields are appended at the end, with a default, and tags stay what they are.
2.  A window is of one definition of its metric, told by its `fingerprint`; see `metrics.compiling`.
"""

from __future__ import annotations

import msgspec


class Counts(msgspec.Struct, array_like=True, tag=1):
    """For an average: how many values each bucket's sum is of."""

    buckets: dict[int, int] = {}


class Last(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The value of the newest event in event time."""

    at_ms: int
    value: str | int | float | bool


class Distinct(msgspec.Struct, array_like=True, tag=3):
    """The values that occurred: each by its hash, or, once they were too many, sketched bucket by bucket.

    Invariant: `seen` or `sketches` is empty.
    """

    #: The newest bucket any value fell into.
    newest: int
    #: Hash of a value to the newest bucket that it fell into.
    seen: dict[int, int] = {}
    #: Bucket to the sketch of the values in it.
    sketches: dict[int, bytes] = {}


class Window(msgspec.Struct, array_like=True):
    """One metric's buckets: index (event time // width) to value. Width 0: all time, in bucket 0.

    `since_ms` is when it began to miss nothing: all events of this instant and later are in it; 0 when all
    there ever were are. A window with fingerprint 0 was stored before metrics had fingerprints.
    """

    width_ms: int
    buckets: dict[int, float] = {}
    fingerprint: int = 0
    since_ms: int = 0
    kept: Counts | Last | Distinct | None = None
