"""The topics: names, order, partition counts and configuration, in one place."""

from __future__ import annotations

from dataclasses import dataclass

EVENTS = "events"
RESPONSES = "responses"
DECISIONS = "decisions"
PROFILES = "profiles"
#: Records that another client's partitioner put elsewhere, with their original coordinates.
REKEYED = "rekeyed"

#: What partitions tell one another across customers: running totals, leases of budgets.
EVIDENCE = "evidence"

#: Topics keyed by customer, all with the same partition count.
CUSTOMER_TOPICS: tuple[str, ...] = (EVENTS, RESPONSES, DECISIONS, PROFILES, REKEYED)

#: All topics that partitions fold, all with the same partition count. The order is part of the stored format:
#: a position's place in a control record, and a customer's watermark's, is its topic's place here. Append
#: only.
SOURCE_TOPICS: tuple[str, ...] = (*CUSTOMER_TOPICS, EVIDENCE)

#: The sums over all partitions, by tenant and key; every worker reads all of it.
SCOREBOARD = "scoreboard"

CATALOG = "catalog"
#: Who changed what, when; never deleted.
AUDIT = "audit"
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True)
class TopicSpec:
    """One topic to create: its full name, partitions, replicas and broker settings."""

    name: str
    partitions: int
    replicas: int
    config: dict[str, str]


#: Header of a record that an HTTP request waits for: the request's id.
HEADER_REQUEST = "offertide-request"
#: Header of a re-keyed record or dead letter: topic/partition/offset where it was first written.
HEADER_ORIGIN = "offertide-origin"
#: Header of a re-keyed record: when it was first written, epoch ms.
HEADER_WRITTEN = "offertide-written"
#: Headers of a dead letter: why, and the bad fields as JSON.
HEADER_REASON = "offertide-reason"
HEADER_PROBLEMS = "offertide-problems"


def topic_names(app_id: str) -> dict[str, str]:
    """Full names of all topics, by their name here. The default app's topics have no prefix."""
    prefix = "" if app_id == "offertide" else f"{app_id}."
    names = (*SOURCE_TOPICS, CATALOG, AUDIT, SCOREBOARD, DEAD_LETTERS)
    return {name: prefix + name for name in names}


def changelog_topic(app_id: str) -> str:
    """The changelog of the one table, as Faust names it."""
    return f"{app_id}-{TABLE}-changelog"


#: The one table.
TABLE = "customers"

#: Compacted topics drop tombstones after this long; a store idle for longer is rebuilt.
DELETE_RETENTION_MS = 24 * 3_600_000

#: A batch that a crash tore is taken back by the next owner before compaction looks at it; in milliseconds.
COMPACTION_LAG_MS = 10 * 60_000

#: Compaction looks at every changelog record within this time, however little is written; in milliseconds.
COMPACTION_MAX_LAG_MS = 24 * 3_600_000

#: By then nothing in the changelog names a deleted key: compaction has replaced its values by the tombstone,
#: kept that for `delete.retention.ms`, and looked again.
CHANGELOG_GONE_MS = 2 * COMPACTION_MAX_LAG_MS + DELETE_RETENTION_MS

#: A record of a raw topic is gone for good after 30 days at most: after `retention.ms`, which is less, its
#: segment must be closed, which takes RAW_SEGMENT_MS at most, and the broker must look.
RAW_RETENTION_MS = 30 * 24 * 3_600_000
RAW_SEGMENT_MS = 12 * 3_600_000
_RAW_RETENTION_BROKER_MS = RAW_RETENTION_MS - 2 * RAW_SEGMENT_MS

MESSAGE_MAX_BYTES = 8 * 1024 * 1024


def topic_specs(app_id: str, partitions: int, replicas: int, min_insync_replicas: int) -> list[TopicSpec]:
    """Every topic the program creates, with what it must be created with."""
    names = topic_names(app_id)
    common = {
        "min.insync.replicas": str(min_insync_replicas),
        "max.message.bytes": str(MESSAGE_MAX_BYTES),
        "unclean.leader.election.enable": "false",
    }
    raw = common | {"retention.ms": str(_RAW_RETENTION_BROKER_MS), "segment.ms": str(RAW_SEGMENT_MS)}
    compacted = common | {"cleanup.policy": "compact", "delete.retention.ms": str(DELETE_RETENTION_MS)}
    specs = [TopicSpec(names[name], partitions, replicas, raw) for name in SOURCE_TOPICS]
    specs.append(TopicSpec(names[DEAD_LETTERS], partitions, replicas, raw))
    changelog = compacted | {
        "min.compaction.lag.ms": str(COMPACTION_LAG_MS),
        "max.compaction.lag.ms": str(COMPACTION_MAX_LAG_MS),
    }
    specs.append(TopicSpec(changelog_topic(app_id), partitions, replicas, changelog))
    specs.extend(TopicSpec(names[name], 1, replicas, compacted) for name in (CATALOG, SCOREBOARD))
    kept = common | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    specs.append(TopicSpec(names[AUDIT], 1, replicas, kept))
    return specs
