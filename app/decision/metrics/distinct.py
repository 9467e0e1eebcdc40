"""How many different values occurred, in a window or ever.

Rules of this module:

1.  Up to 256 values the figure is exact. Each is kept by its 64-bit hash with the newest bucket it fell
    into: a window always ends now, so a value is in it when its newest bucket is. The bound is on the
    values remembered, that is those of the last 61 buckets, however often each occurred. (Two of 256
    random hashes are the same once in 5 * 10^14.)
2.  The 257th value turns each bucket into a sketch; a reading joins those inside the window. It stays
    sketched until every sketch has left the window.
3.  The same values in the same order give the same bytes. While exact, the order does not matter, but for
    what came too late for its bucket.
"""

from __future__ import annotations

from app.decision.metrics import sketch
from app.decision.metrics.metric import BUCKETS
from app.decision.windows import Distinct

#: So many values are counted exactly.
EXACT_MAX = 256


def enter(kept: Distinct, bucket: int, value: int) -> None:
    """A value, by its 64-bit hash, occurred in a bucket."""
    if bucket > kept.newest:
        kept.newest = bucket
        _forget(kept, bucket - BUCKETS)
    elif bucket < kept.newest - BUCKETS:
        return
    if kept.sketches:
        before = kept.sketches.get(bucket)
        kept.sketches[bucket] = sketch.of((value,)) if before is None else sketch.extended(before, value)
        return
    if bucket >= kept.seen.get(value, bucket):
        kept.seen[value] = bucket
    if len(kept.seen) > EXACT_MAX:
        _turn_into_sketches(kept)


def figure(kept: Distinct, oldest: int) -> float:
    """How many different values fell into bucket `oldest` or a later one."""
    if kept.sketches:
        return sketch.estimate([one for bucket, one in kept.sketches.items() if bucket >= oldest])
    return float(sum(1 for bucket in kept.seen.values() if bucket >= oldest))


def _forget(kept: Distinct, oldest: int) -> None:
    """Forget what is in buckets before `oldest`."""
    for value in [value for value, bucket in kept.seen.items() if bucket < oldest]:
        del kept.seen[value]
    for bucket in [bucket for bucket in kept.sketches if bucket < oldest]:
        del kept.sketches[bucket]


def _turn_into_sketches(kept: Distinct) -> None:
    values: dict[int, list[int]] = {}
    for value, bucket in kept.seen.items():
        values.setdefault(bucket, []).append(value)
    kept.seen = {}
    kept.sketches = {bucket: sketch.of(hashes) for bucket, hashes in values.items()}
