"""A tenant's catalogue as a document to keep in files: from plain values to entities and back.

    tenant: demo                   # optional
    offers:                        # then, by kind in the plural, lists of entities
      - id: classics-box
        name: Classics box
        categoryId: boxes

`version`, `createdAt`, `updatedAt` and `createdBy` are the server's: read over here, left out of exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from app.decision.catalogue import load_entity, missing_of
from app.decision.entities import DOCUMENT_KINDS, Entity
from app.decision.index import EntityIndex, EntityKey
from app.decision.loading import struct_fields
from app.decision.problems import Problem, join
from tables.catalogue_records import is_tenant_id
from tables.catalogue_yaml import DocumentTextError, parse_text

#: Most problems reported of one document; reading ends with as many.
PROBLEMS_MAX = 1_000
#: Most entities of a kind in a document, and that a tenant may grow to: a change of one of them must not
#: take the worker that writes catalogues for long.
ENTITIES_MAX = 10_000
_SERVERS = {"version": 0, "created_at": None, "updated_at": None, "created_by": None}
#: The same under their wire names.
SERVERS_WIRE = frozenset({"version", "createdAt", "updatedAt", "createdBy"})


class CatalogueInvalidError(ValueError):
    """A document that cannot be imported. `problems` are all of them; nothing was written.

    `beside` is a part of it that did read, to look for further problems; None when all was looked at.
    """

    def __init__(self, problems: list[Problem], beside: Beside | None = None) -> None:
        super().__init__(f"{len(problems)} problems, the first: {problems[0].path}: {problems[0].message}")
        self.problems = problems
        self.beside = beside


class Entry(msgspec.Struct, frozen=True):
    """An entity of a document, its kind in the plural, and its place there, as in `offers[3]`."""

    kind: str
    place: str
    entity: Entity


class Beside(msgspec.Struct, frozen=True):
    """The entities of a document that did read, and every name in it, as (kind, id or key)."""

    entries: tuple[Entry, ...]
    names: frozenset[tuple[str, str]]

    def problems(self, index: EntityIndex) -> Iterator[Problem]:
        """The references to what neither the tenant has nor the document names."""
        for entry in self.entries:
            for problem, target in missing_of(entry.kind, entry.entity, index):
                if target not in self.names:
                    yield Problem(join(entry.place, problem.path), problem.message)


class Document(msgspec.Struct, frozen=True):
    """A document whose entities are right each by itself. `tenant_id` is None when it names none."""

    tenant_id: str | None
    entries: tuple[Entry, ...]


def read_document(data: bytes) -> Document:
    """The document in YAML or JSON text.

    Raises:
        CatalogueInvalidError: everything that is wrong with the entities, or the first fault of the text.
    """
    try:
        body = parse_text(data)
    except DocumentTextError as error:
        raise CatalogueInvalidError([error.problem]) from error
    return document_from(body)


def document_from(body: object) -> Document:
    """The document that a decoded JSON or YAML value is.

    Raises:
        CatalogueInvalidError: everything that is wrong with the entities, up to `PROBLEMS_MAX`.
    """
    if not isinstance(body, dict):
        raise CatalogueInvalidError([Problem("", "must be a mapping of kinds to lists of entities")])
    problems: list[Problem] = []
    tenant_id = body.get("tenant")
    if tenant_id is not None and not (isinstance(tenant_id, str) and is_tenant_id(tenant_id)):
        problems.append(Problem("tenant", "must be 1 to 64 of the characters a-z 0-9 -"))
    entries: list[Entry] = []
    for kind, bodies in body.items():
        if len(problems) >= PROBLEMS_MAX:
            break
        if kind != "tenant":
            _read_kind(kind, bodies, entries, problems)
    if problems:
        beside = Beside(tuple(entries), _names(body)) if len(problems) < PROBLEMS_MAX else None
        raise CatalogueInvalidError(problems[:PROBLEMS_MAX], beside)
    return Document(tenant_id, tuple(entries))


def _names(body: Mapping[str, object]) -> frozenset[tuple[str, str]]:
    """What a document calls its entities, right or wrong."""
    listed = ((kind, one) for kind, bodies in body.items() if isinstance(bodies, list) for one in bodies)
    said = (
        (kind, one.get(field)) for kind, one in listed if isinstance(one, dict) for field in ("id", "key")
    )
    return frozenset((kind, name) for kind, name in said if isinstance(name, str))


def _read_kind(kind: str, bodies: object, entries: list[Entry], problems: list[Problem]) -> None:
    if kind not in DOCUMENT_KINDS:
        known = ", ".join(DOCUMENT_KINDS)
        problems.append(Problem(kind, f"is not a kind of entity that documents hold; those are: {known}"))
        return
    if bodies is None:
        return
    if not isinstance(bodies, list):
        problems.append(Problem(kind, "must be a list of entities"))
        return
    if len(bodies) > ENTITIES_MAX:
        problems.append(Problem(kind, f"holds {len(bodies)} entities, more than {ENTITIES_MAX}"))
        return
    for i, body in enumerate(bodies):
        if len(problems) >= PROBLEMS_MAX:
            return
        place = f"{kind}[{i}]"
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if name not in SERVERS_WIRE}
        entity = load_entity(kind, body)
        if isinstance(entity, list):
            problems.extend(Problem(join(place, one.path), one.message) for one in entity)
        elif not entity.id and entity.key is None:
            problems.append(Problem(f"{place}.id", "is required, or a key"))
        else:
            entries.append(Entry(kind, place, entity))


def same_content(left: Entity, right: Entity) -> bool:
    """Whether two entities say the same, the server's fields aside; 1 and true are not the same."""
    return _content(left) == _content(right)


def _content(entity: Entity) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(entity, **_SERVERS), order="deterministic")


def document_of(tenant_id: str, entities: Mapping[EntityKey, Entity]) -> dict[str, Any]:
    """The document of these entities: kinds as in `DOCUMENT_KINDS`, entities by id, defaults left out."""
    document: dict[str, Any] = {"tenant": tenant_id}
    in_order = sorted(entities.items())
    for kind in DOCUMENT_KINDS:
        listed = [plain_entity(entity) for (of, _), entity in in_order if of == kind]
        if listed:
            document[kind] = listed
    return document


def plain_entity(entity: Entity) -> dict[str, Any]:
    """The entity's document, without the server's fields and those that hold their default."""
    return _plain(entity)


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    """A Struct's fields under their wire names, without those that hold their default."""
    kept: dict[str, Any] = {}
    for field in struct_fields(type(value)):
        held = getattr(value, field.name)
        if field.encode_name not in SERVERS_WIRE and not _is_default(field, held):
            kept[field.encode_name] = _plain_value(held)
    return kept


def _plain_value(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return _plain(value)
    if isinstance(value, tuple):
        return [_plain_value(member) for member in value]
    return msgspec.to_builtins(value)


def _is_default(field: msgspec.structs.FieldInfo, value: object) -> bool:
    default = field.default
    if default is msgspec.NODEFAULT:
        if field.default_factory is msgspec.NODEFAULT:
            return False
        default = field.default_factory()
    return type(value) is type(default) and value == default
