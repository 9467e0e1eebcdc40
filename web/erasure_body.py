"""What is told of an erasure: when it was, and what remains where until when. The customer is not named."""

from __future__ import annotations

import msgspec

from config.topics import (
    CHANGELOG_GONE_MS,
    CUSTOMER_TOPICS,
    DEAD_LETTERS,
    RAW_RETENTION_MS,
    changelog_topic,
    topic_names,
)
from tables.erased import ERASURE_KEPT_MS, Fact
from web.instants import iso_ms

#: Topics that may hold records of the customer; each record goes for good within `RAW_RETENTION_MS`.
_RAW = (*CUSTOMER_TOPICS, DEAD_LETTERS)


class Remainder(msgspec.Struct, rename="camel"):
    """What remains in one place. `until` is when it is gone at the latest, null where no clock says."""

    where: str
    what: str
    until: str | None
    topics: tuple[str, ...] = ()


class ErasureBody(msgspec.Struct, rename="camel"):
    """An erasure. What happened up to `requestedAt` does not count any more; the rest begins a customer anew.

    From `erasedAt` on nothing of the customer is in the state; by `goneAt` no copy is left either.
    """

    erasure_id: str
    requested_at: str
    erased_at: str
    gone_at: str
    remains: tuple[Remainder, ...]
    status: str = "erased"


_GONE_MS = max(RAW_RETENTION_MS, CHANGELOG_GONE_MS, ERASURE_KEPT_MS)


def erasure_body(erasure_id: str, fact: Fact, app_id: str) -> ErasureBody:
    """An erasure as it is told. `app_id` names the application's topics."""
    names, changelog = topic_names(app_id), changelog_topic(app_id)
    topics = tuple(names[name] for name in _RAW)
    at_ms = fact.erased_ms
    raw, log = iso_ms(at_ms + RAW_RETENTION_MS), iso_ms(at_ms + CHANGELOG_GONE_MS)
    remains = (
        Remainder("rawTopics", "Records as they were written; they do not count any more.", raw, topics),
        Remainder(
            "changelog",
            "Values until they are compacted (min.compaction.lag.ms, max.compaction.lag.ms); their keys, as "
            "tombstones, for delete.retention.ms after that.",
            log,
            (changelog,),
        ),
        Remainder(
            "storeFiles", "Deleted values in files of owners and standbys until RocksDB rewrites them.", raw
        ),
        Remainder("outgoing", "Records on their way to the raw topics, until Kafka takes them.", None),
        Remainder(
            "marker",
            "A hash of the customer's id, and instants: what bars the way back.",
            iso_ms(at_ms + ERASURE_KEPT_MS),
        ),
        Remainder("totals", "Sums over all customers (evidence, experiments, budgets): of nobody.", None),
    )
    return ErasureBody(
        erasure_id, iso_ms(fact.requested_ms), iso_ms(at_ms), iso_ms(at_ms + _GONE_MS), remains
    )
