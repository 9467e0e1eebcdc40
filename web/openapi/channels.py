"""What is on each topic, who may write it, and by which key: for the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.decision.records import Event, ProfileWrite, Response
from config.topics import (
    AUDIT,
    CATALOG,
    DEAD_LETTERS,
    DECISIONS,
    EVENTS,
    EVIDENCE,
    HEADER_ORIGIN,
    HEADER_PROBLEMS,
    HEADER_REASON,
    HEADER_REQUEST,
    PROFILES,
    REKEYED,
    RESPONSES,
    SCOREBOARD,
)
from web.audit import AuditEntry
from web.decision_record import DecisionRecord
from web.openapi.schemas import without_raw_defaults


@dataclass(frozen=True)
class Channel:
    """A topic that others write or read.

    Attributes:
        summary: What a record is.
        description: Who writes, and what to know.
        taken: Whether Offertide reads what others write; else others read.
        payload: The Struct of the value; None when it is of any kind.
        key: What the key is, where it is not `tenant:customer`.
        headers: Headers that mean something, each with what it holds.
        required: Headers that are always there.
        example: A value.
    """

    summary: str
    description: str
    taken: bool
    payload: Any
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    example: Any = None


_AHEAD = "A timestamp more than 24 hours ahead is a dead letter; without one the record's own counts."
_REQUEST = {HEADER_REQUEST: "The id of the HTTP request that waits for the record; for Offertide alone."}

OPEN: Mapping[str, Channel] = {
    EVENTS: Channel(
        "Something a customer did, of any type.",
        f"Anyone may write it. The same `eventId` of a customer counts once. {_AHEAD}",
        True,
        Event,
        headers=_REQUEST,
        example={
            "tenantId": "demo",
            "customerId": "C-1",
            "type": "purchase",
            "data": {"amount": 42.5},
            "eventId": "order-17",
        },
    ),
    RESPONSES: Channel(
        "What a customer did with what was shown: the body of POST /respond, and the tenant.",
        "Anyone may write it; `target` is respond's own. The same `idempotencyKey` counts once. "
        f"One that names a recommendation not folded yet waits up to 10 minutes. {_AHEAD}",
        True,
        Response,
        headers=_REQUEST,
        example={
            "tenantId": "demo",
            "customerId": "C-1",
            "offerId": "classics-box",
            "outcome": "click",
            "idempotencyKey": "click-1",
        },
    ),
    PROFILES: Channel(
        "A customer's profile: the body of PATCH /customers/{id}, the tenant and the customer.",
        "Anyone may write it. `replace` is PUT; `erase`, alone, erases the customer.",
        True,
        ProfileWrite,
        headers=_REQUEST,
        example={"tenantId": "demo", "customerId": "C-1", "attributes": {"tier": "gold"}},
    ),
    DECISIONS: Channel(
        "A decision as it was made, before it was answered.",
        "Only the owner of the partition writes it; read it. Records with the key `!fence` mark a new owner, "
        "and are no decisions.",
        False,
        without_raw_defaults(DecisionRecord),
    ),
    DEAD_LETTERS: Channel(
        "A record that could not be folded: its own key and value, unchanged.",
        "Only Offertide writes it; read it, mend the record and write it to its topic again.",
        False,
        None,
        key="The key of the record.",
        headers={
            HEADER_ORIGIN: "topic/partition/offset where the record was first written.",
            HEADER_REASON: "too_large, malformed, invalid, future or unresolved.",
            HEADER_PROBLEMS: 'The bad fields, as JSON: `[{"field": "...", "message": "..."}]`.',
        },
        required=(HEADER_ORIGIN, HEADER_REASON, HEADER_PROBLEMS),
    ),
    AUDIT: Channel(
        "A change of the catalogue, or a fact, each bound to the one before by its hash.",
        "Whoever writes the catalogue writes it, in the same transaction; kept for ever, in one partition.",
        False,
        AuditEntry,
        key="The tenant.",
    ),
}

#: What only Offertide reads and writes.
INTERNAL: Mapping[str, str] = {
    REKEYED: "Records that another partitioner put elsewhere, on their way to where they belong.",
    EVIDENCE: "What partitions tell the owner of a key: running totals, requests and grants of budgets.",
    CATALOG: "Entities and commit markers. Write it with the API, or with `offertide catalog import`.",
    SCOREBOARD: "Totals over all partitions, by key, for every worker.",
    "changelog": "The state of each partition.",
}
