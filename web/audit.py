"""GET /audit: who changed what in the catalogue, when, from what to what. Any worker answers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from app.decision.records import Instant
from app.decision.refusals import Problem
from tables.audit_index import AuditFilter
from tables.audit_pages import AuditBusyError, ChainState
from tables.audit_topic import AuditReadError
from web.access import LIMIT, OFFSET, Operation, Parameter, Role, areas
from web.errors import invalid, not_ready, overloaded
from web.query import given, page
from web.view import Answer, ApiView, Call, encode

_TEXT_MAX = 256
_TEXTS = ("kind", "id", "action", "actor")

_Text = Annotated[str, Meta(max_length=_TEXT_MAX)]


class AuditActor(msgspec.Struct):
    """Who: an API key's id and name, `cli:<user>`, or `sandbox`."""

    id: str
    name: str


class AuditEntry(msgspec.Struct, rename="camel"):
    """One change of one entity, or one fact, as it is on the topic. See docs/concepts/audit.md for `hash`."""

    v: int
    tenant: str
    sequence: int
    at: datetime
    actor: AuditActor
    action: str
    kind: str
    id: str
    version_before: int | None
    version_after: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    request_id: str
    import_id: str
    previous: str
    hash: str


class AuditList(msgspec.Struct, rename="camel"):
    """One page, newest first; `total` is how many match. `chain` is about all entries, not the page's."""

    audit: list[AuditEntry]
    total: int
    chain: ChainState


class _Page(msgspec.Struct):
    """As `AuditList`. Entries go out byte for byte as they were written, so that a caller can check them."""

    audit: list[msgspec.Raw]
    total: int
    chain: ChainState


class AuditView(ApiView):
    """The caller's tenant's audit trail."""

    view_name = "audit"
    view_path = "/api/v1/audit"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "Who changed what, newest first.",
            Role.ADMIN,
            areas("catalogue"),
            answer=AuditList,
            parameters=(
                Parameter("kind", _Text, "Only of entities of this kind, in the plural."),
                Parameter("id", _Text, "Only of the entity of this id."),
                Parameter("action", _Text, "Only this action: created, updated, deleted, or a fact's name."),
                Parameter("actor", _Text, "Only what the actor of this id did."),
                Parameter("since", Instant, "Only from this instant on (ISO 8601 with an offset or Z)."),
                Parameter("until", Instant, "Only before this instant."),
                LIMIT,
                OFFSET,
            ),
        )
    }

    async def get(self, call: Call) -> Answer:
        problems: list[Problem] = []
        limit, offset = page(call, problems)
        wanted = _filter(call, problems)
        if problems:
            raise invalid(problems)
        try:
            found = await self.engine.audit.page(call.tenant_id, wanted, limit, offset)
        except AuditReadError as error:
            raise not_ready(f"The audit trail cannot be read now: {error}; retry.") from error
        except AuditBusyError as error:
            raise overloaded() from error
        entries = [msgspec.Raw(entry) for entry in found.entries]
        return Answer(encode(_Page(entries, found.total, found.chain)))


def _filter(call: Call, problems: list[Problem]) -> AuditFilter:
    said = given(call, (*_TEXTS, "since", "until"), problems)
    for name in _TEXTS:
        if len(said.get(name, "")) > _TEXT_MAX:
            problems.append(Problem(name, f"must have at most {_TEXT_MAX} characters"))
    since_ms, until_ms = _instant(said, "since", problems), _instant(said, "until", problems)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        problems.append(Problem("until", "must be after since"))
    return AuditFilter(
        kind=said.get("kind"),
        subject=said.get("id"),
        action=said.get("action"),
        actor=said.get("actor"),
        since_ms=since_ms,
        until_ms=until_ms,
    )


def _instant(said: Mapping[str, str], name: str, problems: list[Problem]) -> int | None:
    """Epoch milliseconds of an instant, None when it was not given or is none."""
    text = said.get(name)
    if text is None:
        return None
    try:
        at = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
        return int(at.timestamp() * 1000)
    except (msgspec.ValidationError, OverflowError, ValueError):
        problems.append(Problem(name, "must be an instant with an offset or Z, as in 2026-03-10T14:30:00Z"))
        return None
