"""What changed between two versions of an entity, field by field, for people who review a change.

Rules of this module:

1.  Fields are compared as they are served, defaults included, the server's own left out.
2.  Objects are compared by name and lists by place; a path is that of the smallest value that differs.
3.  A value that is not there is left out, which null is not: `before` of a name that is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from app.decision.entities import Entity
from app.decision.index import EntityKey
from app.decision.problems import join
from tables.catalogue_document import SERVERS_WIRE


class FieldChange(msgspec.Struct, frozen=True):
    """One value that differs, by its path in the entity, as in `scopes[1].id`."""

    path: str
    before: Any = UNSET
    after: Any = UNSET


class EntityRef(msgspec.Struct, frozen=True):
    """An entity by kind, in the plural, and id."""

    kind: str
    id: str


class EntityChange(EntityRef, frozen=True):
    """An updated entity and the fields that differ."""

    changes: tuple[FieldChange, ...]


def entity_change(key: EntityKey, before: Entity, after: Entity) -> EntityChange:
    """The fields in which two versions of one entity differ."""
    return EntityChange(*key, tuple(_changes("", _served(before), _served(after))))


def _served(entity: Entity) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(entity)
    return {name: value for name, value in plain.items() if name not in SERVERS_WIRE}


def _changes(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    """Depth is bounded by that of documents, far below Python's limit."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _changes(join(path, name), before.get(name, UNSET), after.get(name, UNSET))
    elif _is_list(before) and _is_list(after):
        for i in range(max(len(before), len(after))):
            yield from _changes(f"{path}[{i}]", _at(before, i), _at(after, i))
    elif not _same(before, after):
        yield FieldChange(path, before, after)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _at(values: list[Any] | tuple[Any, ...], i: int) -> Any | UnsetType:
    return values[i] if i < len(values) else UNSET


def _same(before: object, after: object) -> bool:
    """Whether two values are the same, 1 and 1.0, and 1 and true, not being so."""
    return type(before) is type(after) and before == after
