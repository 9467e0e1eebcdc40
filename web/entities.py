"""The catalogue's entities over HTTP: one pair of views for each kind.

Rules:

1.  An entity is answered complete, fields that hold their default included, null where there is none; what
    was read can be sent back.
2.  Reads come from this worker's snapshot. A write is answered once the writing worker's snapshot has it;
    the others follow within a second.
3.  What is archived is found by id or key, and listed only on request: it is kept, and takes no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, get_args

from app.decision.entities import Entity
from app.decision.entities.base import Status
from app.decision.index import EntityIndex
from app.decision.refusals import Problem
from tables.catalogue_edit import plan_create, plan_delete, plan_replace
from web.editing import by, commit
from web.entity_body import etag, read_expected, read_new, read_replacement
from web.entity_operations import many_operations, one_operations, plural
from web.errors import invalid, not_found
from web.query import flag, given, page
from web.view import Answer, ApiView, Call, encode

STATUSES: tuple[str, ...] = get_args(Status)

#: What generated ids begin with.
PREFIXES: Mapping[str, str] = {
    "categories": "cat",
    "channels": "ch",
    "placements": "plc",
    "offers": "off",
    "creatives": "cr",
    "outcome-types": "out",
    "behavioral-metrics": "met",
    "segments": "seg",
    "models": "mdl",
    "experiments": "exp",
    "qualification-rules": "rul",
    "contact-policies": "pol",
    "decision-flows": "df",
    "tenant-settings": "set",
}


class KindView(ApiView):
    """What both views of a kind have."""

    kind: ClassVar[str]

    def shown(self, call: Call, entity: Entity) -> object:
        """The entity as it is answered."""
        return entity

    def beside(self, call: Call) -> EntityIndex:
        """The tenant's entities as this worker knows them."""
        return self.engine.catalogue().tenant(call.tenant_id)

    def answer(self, call: Call, entity: Entity | None, status: int) -> Answer:
        """The answer that shows an entity, with its version and, a new one, where it is."""
        assert entity is not None, "an edit of one entity leaves one"
        headers = {"ETag": etag(entity)}
        if status == 201:
            headers["Location"] = f"/api/v1/{self.kind}/{entity.id}"
        return Answer(encode(self.shown(call, entity)), status, headers)


class EntitiesView(KindView):
    """All entities of a kind."""

    async def get(self, call: Call) -> Answer:
        problems: list[Problem] = []
        limit, offset = page(call, problems)
        said = given(call, ("status", "includeArchived"), problems)
        archived = flag(said, "includeArchived", problems)
        status = said.get("status")
        if status is not None and status not in STATUSES:
            problems.append(Problem("status", f"must be one of: {', '.join(STATUSES)}"))
        if problems:
            raise invalid(problems)
        found = [one for one in self._all(call) if _is_listed(one, status, archived)]
        shown = [self.shown(call, one) for one in found[offset : offset + limit]]
        return Answer(encode({plural(self.kind): shown, "total": len(found)}))

    async def post(self, call: Call) -> Answer:
        draft = read_new(self.kind, call.body, call.headers, by(call), self.beside(call))
        new_id = f"{PREFIXES[self.kind]}_{self.engine.chance()}"
        tenant_id = call.tenant_id
        made = await commit(
            self.engine, call, lambda current, now: plan_create(tenant_id, current, draft, new_id, now)
        )
        return self.answer(call, made.entity, 201)

    def _all(self, call: Call) -> list[Entity]:
        """The tenant's entities of the kind as they were written, by id."""
        catalogue = self.engine.catalogue().tenant(call.tenant_id)
        return [catalogue.entities[self.kind, entity_id] for entity_id in catalogue.ids(self.kind)]


class EntityView(KindView):
    """One entity, by id or key."""

    async def get(self, call: Call) -> Answer:
        reference = call.path["id"]
        catalogue = self.engine.catalogue().tenant(call.tenant_id)
        entity_id = catalogue.id_of(self.kind, reference)
        if entity_id is None:
            raise not_found(f"There is no {reference[:128]} among the {self.kind}.")
        return self.answer(call, catalogue.entities[self.kind, entity_id], 200)

    async def put(self, call: Call) -> Answer:
        tenant_id, reference = call.tenant_id, call.path["id"]
        draft, expected = read_replacement(self.kind, call.body, call.headers, by(call), self.beside(call))
        made = await commit(
            self.engine,
            call,
            lambda current, now: plan_replace(tenant_id, current, draft, reference, expected, now),
        )
        return self.answer(call, made.entity, 200)

    async def delete(self, call: Call) -> Answer:
        tenant_id, reference = call.tenant_id, call.path["id"]
        expected = read_expected(call.headers)
        await commit(
            self.engine,
            call,
            lambda current, now: plan_delete(tenant_id, current, self.kind, reference, expected),
        )
        return Answer(b"", 204)


def views_of(kind: str) -> tuple[type[ApiView], type[ApiView]]:
    """The views of a kind: all of its entities, and one."""
    path = f"/api/v1/{kind}"
    many = type(
        f"{kind}View",
        (EntitiesView,),
        {"kind": kind, "view_name": kind, "view_path": path, "operations": many_operations(kind)},
    )
    one = type(
        f"{kind}EntityView",
        (EntityView,),
        {
            "kind": kind,
            "view_name": f"{kind}-one",
            "view_path": path + "/{id:[^/]+}",
            "operations": one_operations(kind),
        },
    )
    return many, one


#: Of every kind that has no views of its own.
ENTITY_VIEWS: tuple[type[ApiView], ...] = tuple(view for kind in PREFIXES for view in views_of(kind))


def _is_listed(entity: Entity, status: str | None, archived: bool) -> bool:
    if status is not None:
        return entity.status == status
    return archived or entity.status != "archived"
