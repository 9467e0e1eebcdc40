"""A diff as HTTP answers it and the command line prints it: the same words in both."""

from __future__ import annotations

import msgspec

from app.decision.index import EntityKey
from tables.catalogue_diff import EntityChange, EntityRef
from tables.catalogue_plan import ImportDiff


class DiffBody(msgspec.Struct, frozen=True, rename="camel"):
    """A diff as it is served and printed. Unchanged entities are listed without their fields."""

    tenant: str
    created: tuple[EntityRef, ...]
    updated: tuple[EntityChange, ...]
    deleted: tuple[EntityRef, ...]
    unchanged: tuple[EntityRef, ...]
    version: int | None
    dry_run: bool


def shown_diff(diff: ImportDiff, dry_run: bool) -> DiffBody:
    """The diff as HTTP and the command line show it."""
    return DiffBody(
        tenant=diff.tenant,
        created=_refs(diff.created),
        updated=diff.fields,
        deleted=_refs(diff.deleted),
        unchanged=_refs(diff.unchanged),
        version=diff.version,
        dry_run=dry_run,
    )


def _refs(keys: tuple[EntityKey, ...]) -> tuple[EntityRef, ...]:
    return tuple(EntityRef(kind, entity_id) for kind, entity_id in keys)
