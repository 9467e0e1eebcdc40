"""A tenant's catalogue with some documents changed in memory: what a simulation decides with.

Rules:

1.  A document names an entity by id or key. A field that it gives replaces the entity's, null makes it the
    default again; a name that is not there yet adds an entity. `status: archived` takes one out of decisions.
2.  What comes of it is checked exactly like a catalogue write, every problem with its place in the request.
    What is wrong with the tenant's catalogue anyway is not the caller's problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from app.decision.catalogue import TenantCatalogue, check_tenant, compile_tenant, load_entity
from app.decision.entities import Entity
from app.decision.index import EntityKey
from app.decision.problems import Problem, join
from tables.catalogue_document import SERVERS_WIRE, plain_entity


class Override(msgspec.Struct, frozen=True):
    """A document that changes or adds an entity: its kind in the plural, and its place in the request."""

    kind: str
    place: str
    document: Mapping[str, Any]


class Overridden(msgspec.Struct, frozen=True):
    """A tenant's entities with some replaced; `ids` are those of the documents, in their order."""

    entities: Mapping[EntityKey, Entity]
    ids: tuple[str, ...]


def apply_overrides(current: TenantCatalogue, overrides: Sequence[Override]) -> Overridden | list[Problem]:
    """The tenant's entities with these documents in place, or everything that is wrong with them."""
    entities = dict(current.entities)
    places: dict[EntityKey, str] = {}
    ids: list[str] = []
    problems: list[Problem] = []
    for one in overrides:
        found = _entity(current, one)
        if isinstance(found, list):
            problems.extend(Problem(join(one.place, each.path), each.message) for each in found)
            continue
        key = one.kind, found.id
        if key in places:
            problems.append(Problem(f"{one.place}.id", f"{found.id} is already that of {places[key]}"))
        places[key] = one.place
        entities[key] = found
        ids.append(found.id)
    problems = problems or list(_together(current, entities, places))
    return problems or Overridden(entities, tuple(ids))


def compile_for(tenant_id: str, entities: Mapping[EntityKey, Entity], flow_id: str | None) -> TenantCatalogue:
    """The entities ready to decide with; with `flow_id` that flow is the only one."""
    if flow_id is not None:
        entities = {
            key: entity for key, entity in entities.items() if key[0] != "decision-flows" or key[1] == flow_id
        }
    return compile_tenant(tenant_id, entities)


def _entity(current: TenantCatalogue, override: Override) -> Entity | list[Problem]:
    """The entity that a document makes, over the one that it names."""
    said = {name: value for name, value in override.document.items() if name not in SERVERS_WIRE}
    name = said.get("id") or said.get("key")
    if not isinstance(name, str) or not name:
        return [Problem("id", "is required, or a key: which entity is meant?")]
    entity_id = current.id_of(override.kind, name)
    old = None if entity_id is None else current.entities[override.kind, entity_id]
    before = {} if old is None else plain_entity(old)
    changed = {**before, **said, "id": name if entity_id is None else entity_id}
    return load_entity(override.kind, {name: value for name, value in changed.items() if value is not None})


def _together(
    current: TenantCatalogue, entities: Mapping[EntityKey, Entity], places: Mapping[EntityKey, str]
) -> Iterator[Problem]:
    """What the documents do to the rest of the catalogue, or it to them."""
    found = check_tenant(current.tenant_id, entities)
    if not found:
        return
    before = set(check_tenant(current.tenant_id, current.entities))
    named = {f"{kind}[{entity_id}]": place for (kind, entity_id), place in places.items()}
    for problem in found:
        at, bracket, rest = problem.path.partition("]")
        place = named.get(at + bracket)
        if place is not None:
            yield Problem(place + rest, problem.message)
        elif problem not in before:
            yield problem
