"""Changes of one entity: created, replaced, deleted. Pure: planned on what the tenant certainly has.

Rules of this module:

1.  An edit is made whole or refused with every reason; the tenant it leaves has no problem that it did not
    have before, so that something wrong already does not stand in the way of mending something else.
2.  Paths are the edited entity's own (`categoryId`). A problem of another entity begins with that one
    (`decision-flows[main].scoring`), and is a conflict: the request's fields are right by themselves.
3.  Only what is wholly readable is edited: a record that this version cannot read must be replaced or deleted
    first, since no worker takes up a tenant that has one.
4.  An id never changes, and a key is not lost by leaving it out: both are names that others use.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from app.decision.catalogue import check_tenant, users_of
from app.decision.entities import KINDS, Entity
from app.decision.index import EntityKey
from app.decision.problems import Problem
from tables.catalogue_log import TenantLog
from tables.catalogue_plan import (
    ImportDiff,
    ImportPlan,
    count_problems,
    lost_problems,
    size_problems,
    stamped,
)

SETTINGS = "tenant-settings"


class EditRefusedError(ValueError):
    """An edit that is not made; nothing was written.

    `reason` is invalid (the document is wrong), unknown (there is nothing to edit) or conflict (with other
    entities, or with a version). `problems` may be empty.
    """

    def __init__(
        self,
        reason: Literal["invalid", "unknown", "conflict"],
        message: str,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.problems = problems


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as a request gives it, right by itself.

    Args:
        kind: of the entity, in the plural.
        entity: the document; its id is empty where it names none.
        has_key: whether the document says a key, or says that there is none.
        by: who edits, for `createdBy`.
    """

    kind: str
    entity: Entity
    has_key: bool = True
    by: str


def plan_create(tenant_id: str, current: TenantLog, draft: Draft, new_id: str, now: datetime) -> ImportPlan:
    """The plan that adds an entity.

    Args:
        tenant_id: whose catalogue it is.
        current: what the tenant has.
        draft: the entity.
        new_id: its id if the document names none.
        now: the instant of the change, UTC.

    Raises:
        EditRefusedError: conflict when its id or key is taken; else see the module.
    """
    kind, entity = draft.kind, draft.entity
    entity_id = entity.id or new_id
    for field, name in (("id", entity_id), ("key", entity.key)):
        owner = _owner(current, kind, name)
        if owner is not None:
            message = f"{name} already names {kind}[{owner}]"
            raise EditRefusedError("conflict", f"{field}: {message}", (Problem(field, message),))
    if kind == SETTINGS:
        _check_only_settings(current)
    return _plan(tenant_id, current, (kind, entity_id), stamped(entity, entity_id, None, draft.by, now))


def plan_replace(
    tenant_id: str, current: TenantLog, draft: Draft, reference: str, expected: int | None, now: datetime
) -> ImportPlan:
    """The plan that puts an entity in the place of the one with this id or key.

    Args:
        tenant_id: whose catalogue it is.
        current: what the tenant has.
        draft: the entity; fields that it does not have take their defaults, but see rule 4.
        reference: the id or key of what is replaced.
        expected: the version that the caller saw; None replaces any.
        now: the instant of the change, UTC.

    Raises:
        EditRefusedError: unknown when there is nothing; conflict when the version is another, the new key is
            taken or other entities would be wrong; invalid when the document names another id.
    """
    kind, entity = draft.kind, draft.entity
    entity_id = _existing(current, kind, reference)
    if entity.id and entity.id != entity_id:
        message = f"is {entity.id}, and the path names {entity_id}: an id cannot change"
        raise EditRefusedError("invalid", f"id: {message}", (Problem("id", message),))
    old = current.entities.get((kind, entity_id))
    _check_version(old, expected)
    if not draft.has_key and old is not None:
        entity = msgspec.structs.replace(entity, key=old.key)
    owner = _owner(current, kind, entity.key)
    if owner not in (None, entity_id):
        message = f"{entity.key} already names {kind}[{owner}]"
        raise EditRefusedError("conflict", f"key: {message}", (Problem("key", message),))
    return _plan(tenant_id, current, (kind, entity_id), stamped(entity, entity_id, old, draft.by, now))


def plan_delete(
    tenant_id: str, current: TenantLog, kind: str, reference: str, expected: int | None
) -> ImportPlan:
    """The plan that deletes the entity with this id or key.

    Raises:
        EditRefusedError: unknown when there is nothing; conflict when the version is another, or others use
            it; then `problems` name each of them.
    """
    entity_id = _existing(current, kind, reference)
    key = kind, entity_id
    _check_version(current.entities.get(key), expected)
    users = [user for user in users_of(kind, entity_id, current.entities) if user != key]
    if users:
        told = tuple(Problem(f"{of}[{user}]", f"uses {kind}[{entity_id}]") for of, user in users)
        message = f"{kind}[{entity_id}] is in use: {_listed(told)}. Change those first, or archive it."
        raise EditRefusedError("conflict", message, told)
    return _plan(tenant_id, current, key, None)


def _plan(tenant_id: str, current: TenantLog, key: EntityKey, entity: Entity | None) -> ImportPlan:
    """The plan that leaves this entity under the key, None for nothing, if the tenant may be so."""
    old = current.entities.get(key)
    after = {other: kept for other, kept in current.entities.items() if other != key}
    if entity is not None:
        after[key] = entity
    too_many = tuple(count_problems(current.entities, after))
    if too_many:
        raise EditRefusedError("invalid", _listed(too_many), too_many)
    _check(tenant_id, current, after, key)
    kept = entity is not None and old is entity
    changes: dict[EntityKey, Entity | None] = {} if kept else {key: entity}
    diff = ImportDiff(
        tenant=tenant_id,
        created=(key,) if old is None and entity is not None else (),
        updated=(key,) if old is not None and entity is not None and not kept else (),
        deleted=(key,) if entity is None else (),
        unchanged=(key,) if kept else (),
    )
    return ImportPlan(changes, len(after), diff, entity)


def _check(tenant_id: str, current: TenantLog, after: Mapping[EntityKey, Entity], key: EntityKey) -> None:
    """Refuse an edit that leaves the tenant with problems; rules 1 to 3."""
    kind, entity_id = key
    at = f"{kind}[{entity_id}]"
    lost = tuple(lost_problems({other: why for other, why in current.unreadable.items() if other != key}))
    if lost:
        raise EditRefusedError("conflict", f"Nothing can be changed before this: {_listed(lost)}", lost)
    own, others = list(size_problems("", after[key]) if key in after else ()), []
    for problem in check_tenant(tenant_id, after):
        place, bracket, rest = problem.path.partition("]")
        if place + bracket == at:
            own.append(Problem(rest.lstrip("."), problem.message))
        else:
            others.append(problem)
    if others:
        before = set(check_tenant(tenant_id, current.entities))
        others = [problem for problem in others if problem not in before]
    told = (*own, *others)
    if own:
        raise EditRefusedError("invalid", _listed(told[:1]), told)
    if others:
        raise EditRefusedError("conflict", f"Other entities would be wrong: {_listed(told)}", told)


def _check_version(old: Entity | None, expected: int | None) -> None:
    if old is not None and expected is not None and old.version != expected:
        message = f"Version {expected} was given, and it is {old.version} by now: read it again."
        raise EditRefusedError("conflict", message, (Problem("version", f"is {old.version} by now"),))


def _check_only_settings(current: TenantLog) -> None:
    for kind, entity_id in (*current.entities, *current.unreadable):
        if kind == SETTINGS:
            message = f"A tenant has one, and {SETTINGS}[{entity_id}] is there: PUT that one."
            raise EditRefusedError("conflict", message)


def _existing(current: TenantLog, kind: str, reference: str) -> str:
    entity_id = _owner(current, kind, reference)
    if entity_id is None:
        raise EditRefusedError("unknown", f"There is no {reference[:128]} among the {kind}.")
    return entity_id


def _owner(current: TenantLog, kind: str, name: str | None) -> str | None:
    """The id of what has this id or key; None when nothing has."""
    if name is None:
        return None
    if (kind, name) in current.entities or (kind, name) in current.unreadable:
        return name
    cls = KINDS[kind]
    keyed = (entity.id for entity in current.entities.values() if entity.key == name and type(entity) is cls)
    return next(keyed, None)


def _listed(problems: tuple[Problem, ...]) -> str:
    """The first few, in one sentence."""
    told = "; ".join(f"{one.path} {one.message}".strip() for one in problems[:3])
    return told if len(problems) <= 3 else f"{told}; and {len(problems) - 3} more"
