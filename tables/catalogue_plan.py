"""What an import changes: pure, so that a dry run says exactly what the import would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from app.decision.catalogue import check_tenant
from app.decision.entities import DOCUMENT_KINDS, KINDS, Entity
from app.decision.index import EntityKey
from app.decision.problems import Problem
from tables.catalogue_diff import EntityChange, entity_change
from tables.catalogue_document import (
    ENTITIES_MAX,
    PROBLEMS_MAX,
    CatalogueInvalidError,
    Entry,
    same_content,
)
from tables.catalogue_log import TenantLog

#: Largest entity, in bytes of JSON: a record must stay well below the largest batch.
ENTITY_MAX_BYTES = 1024 * 1024


class ImportDiff(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an import changed, or would change: entities by (kind in the plural, id).

    `fields` are the changes within each updated one. `version` is the catalogue's version with the import,
    None when nothing was written.
    """

    tenant: str
    created: tuple[EntityKey, ...] = ()
    updated: tuple[EntityKey, ...] = ()
    deleted: tuple[EntityKey, ...] = ()
    unchanged: tuple[EntityKey, ...] = ()
    fields: tuple[EntityChange, ...] = ()
    version: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.created or self.updated or self.deleted)


class ImportPlan(msgspec.Struct, frozen=True):
    """The records that a change writes, None for a deletion, and what they change.

    `total` is how many entities the tenant has afterwards; `entity` is the one that an edit of a single one
    leaves, stored or as it was.
    """

    changes: Mapping[EntityKey, Entity | None]
    total: int
    diff: ImportDiff
    entity: Entity | None = None


def plan_import(
    tenant_id: str, current: TenantLog, entries: Sequence[Entry], by: str, now: datetime, prune: bool
) -> ImportPlan:
    """The changes that make the tenant say what the document says.

    Args:
        tenant_id: whose catalogue it is.
        current: what the tenant has.
        entries: the document's entities; one with a key and no id is the one of that key, or has it as id.
        by: who imports, for `createdBy`.
        now: the instant of the change, UTC.
        prune: delete what the document does not name; otherwise it stays.

    Raises:
        CatalogueInvalidError: every problem of the tenant as it would be.
    """
    wanted = _by_id(current.entities, entries)
    after = {key: old for key, old in current.entities.items() if not _pruned(key, prune)}
    created: list[EntityKey] = []
    updated: list[EntityKey] = []
    unchanged: list[EntityKey] = []
    for key, entry in wanted.items():
        old = current.entities.get(key)
        after[key] = made = stamped(entry.entity, key[1], old, by, now)
        (created if old is None else unchanged if made is old else updated).append(key)
    lost = {
        key: why for key, why in current.unreadable.items() if key not in wanted and not _pruned(key, prune)
    }
    _check_counts(current.entities, after)
    _check(tenant_id, after, wanted, lost)
    changes: dict[EntityKey, Entity | None] = {
        key: after[key] for key in wanted if after[key] is not current.entities.get(key)
    }
    there = (*current.entities, *current.unreadable)
    deleted = [key for key in there if key not in after and _pruned(key, prune)]
    changes |= dict.fromkeys(deleted)
    diff = ImportDiff(
        tenant=tenant_id,
        created=_sorted(created),
        updated=_sorted(updated),
        deleted=_sorted(deleted),
        unchanged=_sorted(unchanged),
        fields=tuple(entity_change(key, current.entities[key], after[key]) for key in _sorted(updated)),
    )
    return ImportPlan(changes, len(after), diff)


def _pruned(key: EntityKey, prune: bool) -> bool:
    """Whether an entity goes when the document does not name it; one of a kind unknown here does."""
    return prune and (key[0] in DOCUMENT_KINDS or key[0] not in KINDS)


def _sorted(keys: list[EntityKey]) -> tuple[EntityKey, ...]:
    return tuple(sorted(keys, key=_rank))


def _rank(key: EntityKey) -> tuple[int, str]:
    """What is referred to comes before what refers to it; kinds this version does not know come last."""
    kinds = list(KINDS)
    return (kinds.index(key[0]) if key[0] in kinds else len(kinds), key[1])


def _by_id(current: Mapping[EntityKey, Entity], entries: Sequence[Entry]) -> dict[EntityKey, Entry]:
    keyed = {(kind, entity.key): entity_id for (kind, entity_id), entity in current.items() if entity.key}
    found: dict[EntityKey, Entry] = {}
    problems: list[Problem] = []
    for entry in entries:
        key = entry.entity.key
        entity_id = entry.entity.id or keyed.get((entry.kind, key or "")) or key or ""
        first = found.setdefault((entry.kind, entity_id), entry)
        if first is not entry:
            problems.append(Problem(f"{entry.place}.id", f"{entity_id} is already that of {first.place}"))
    if problems:
        raise CatalogueInvalidError(problems[:PROBLEMS_MAX])
    return found


def stamped(entity: Entity, entity_id: str, old: Entity | None, by: str, now: datetime) -> Entity:
    """The entity as it is stored; the old one itself when it says the same."""
    entity = msgspec.structs.replace(entity, id=entity_id)
    if old is None:
        stamps = {"version": 1, "created_at": now, "updated_at": now, "created_by": by}
    elif same_content(old, entity):
        return old
    else:
        stamps = {
            "version": old.version + 1,
            "created_at": old.created_at or now,
            "updated_at": now,
            "created_by": old.created_by,
        }
    return msgspec.structs.replace(entity, **stamps)


def _check_counts(before: Iterable[EntityKey], after: Iterable[EntityKey]) -> None:
    """Raises before anything that takes as long as there are entities."""
    problems = list(count_problems(before, after))
    if problems:
        raise CatalogueInvalidError(problems)


def count_problems(before: Iterable[EntityKey], after: Iterable[EntityKey]) -> Iterator[Problem]:
    """That a tenant grows beyond the bound; one that an older release let by may stay as it is, or shrink."""
    held = Counter(kind for kind, _ in before)
    for kind, count in Counter(kind for kind, _ in after).items():
        if count > max(ENTITIES_MAX, held[kind]):
            yield Problem(kind, f"would be {count}, and a tenant may have {ENTITIES_MAX} of a kind")


def _check(
    tenant_id: str,
    after: Mapping[EntityKey, Entity],
    wanted: Mapping[EntityKey, Entry],
    lost: Mapping[EntityKey, str],
) -> None:
    problems = list(_own_problems(after, wanted, lost))
    places = {f"{kind}[{entity_id}]": entry.place for (kind, entity_id), entry in wanted.items()}
    for problem in check_tenant(tenant_id, after):
        at, bracket, rest = problem.path.partition("]")
        problems.append(Problem(places.get(at + bracket, at + bracket) + rest, problem.message))
    if problems:
        raise CatalogueInvalidError(problems[:PROBLEMS_MAX])


def _own_problems(
    after: Mapping[EntityKey, Entity], wanted: Mapping[EntityKey, Entry], lost: Mapping[EntityKey, str]
) -> Iterator[Problem]:
    for key, entry in wanted.items():
        yield from size_problems(entry.place, after[key])
    yield from lost_problems(lost)


def size_problems(place: str, entity: Entity) -> Iterator[Problem]:
    """That an entity is too large for a record."""
    size = len(msgspec.json.encode(entity))
    if size > ENTITY_MAX_BYTES:
        yield Problem(place, f"has {size} bytes, more than {ENTITY_MAX_BYTES}")


def lost_problems(lost: Mapping[EntityKey, str]) -> Iterator[Problem]:
    """That entities are there which this version cannot read."""
    for (kind, entity_id), reason in lost.items():
        yield Problem(f"{kind}[{entity_id}]", f"is stored in a way that this version cannot read: {reason}")
