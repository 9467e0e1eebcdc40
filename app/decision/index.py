"""A tenant's entities, found by id or key.

Rules of this module:

1.  Ids and keys are interchangeable in references; an id wins where both exist (the check refuses that).
2.  What is found here refers to other entities by id only, whatever its document said.
3.  Status is not looked at: an archived offer is still found, so that a late response can name it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from app.decision.entities import (
    Category,
    Channel,
    Creative,
    Entity,
    Offer,
    Placement,
)

#: (kind in the plural, id)
EntityKey = tuple[str, str]
E = TypeVar("E", bound=Entity)

#: Fields that hold one reference, by kind, with the kind they refer to.
SINGLE_REFERENCES: Mapping[str, Mapping[str, str]] = {
    "categories": {"parent_id": "categories"},
    "placements": {"channel_id": "channels"},
    "offers": {"category_id": "categories", "sub_category_id": "categories"},
    "creatives": {"offer_id": "offers", "channel_id": "channels", "placement_id": "placements"},
    "experiments": {"offer_id": "offers"},
    "decision-flows": {"experiment_id": "experiments"},
}


class EntityIndex:
    """Every entity of one tenant by kind and by id or key."""

    __slots__ = ("_ids", "_kinds")

    def __init__(self, entities: Mapping[EntityKey, Entity]) -> None:
        self._ids: dict[str, dict[str, str]] = {}
        for (kind, entity_id), entity in entities.items():
            ids = self._ids.setdefault(kind, {})
            if entity.key is not None:
                ids.setdefault(entity.key, entity_id)
        for kind, entity_id in entities:
            self._ids[kind][entity_id] = entity_id
        self._kinds: dict[str, dict[str, Entity]] = {}
        for (kind, entity_id), entity in sorted(entities.items()):
            self._kinds.setdefault(kind, {})[entity_id] = self._by_id(kind, entity)

    def _by_id(self, kind: str, entity: Entity) -> Entity:
        changes = {}
        for field, target in SINGLE_REFERENCES.get(kind, {}).items():
            reference = getattr(entity, field)
            entity_id = None if reference is None else self.id_of(target, reference)
            if entity_id is not None and entity_id != reference:
                changes[field] = entity_id
        return msgspec.structs.replace(entity, **changes) if changes else entity

    def id_of(self, kind: str, reference: str) -> str | None:
        """The id of what a reference by id or key names; None when there is nothing."""
        return self._ids.get(kind, {}).get(reference)

    def find(self, kind: str, reference: str | None, cls: type[E]) -> E | None:
        """The entity that a reference names; None when there is nothing of that kind."""
        entity_id = self._ids.get(kind, {}).get(reference) if reference is not None else None
        found = None if entity_id is None else self._kinds[kind][entity_id]
        return found if isinstance(found, cls) else None

    def all(self, kind: str, cls: type[E]) -> list[E]:
        """The entities of a kind, by id."""
        return [entity for entity in self._kinds.get(kind, {}).values() if isinstance(entity, cls)]

    def ids(self, kind: str) -> list[str]:
        """The ids of a kind, in order."""
        return list(self._kinds.get(kind, ()))

    def offer(self, reference: str | None) -> Offer | None:
        """The offer with this id or key."""
        return self.find("offers", reference, Offer)

    def creative(self, reference: str | None) -> Creative | None:
        """The creative with this id or key."""
        return self.find("creatives", reference, Creative)

    def channel(self, reference: str | None) -> Channel | None:
        """The channel with this id or key."""
        return self.find("channels", reference, Channel)

    def category(self, reference: str | None) -> Category | None:
        """The category with this id or key."""
        return self.find("categories", reference, Category)

    def placement(self, reference: str | None) -> Placement | None:
        """The placement with this id or key."""
        return self.find("placements", reference, Placement)

    def category_ids(self, category_id: str) -> tuple[str, ...]:
        """A category and, for a subcategory, its parent: what an offer in it belongs to."""
        category = self.category(category_id)
        if category is None or category.parent_id is None:
            return (category_id,)
        return (category_id, category.parent_id)

    def categories_of(self, offer: Offer) -> tuple[str, ...]:
        """Every category and subcategory that an offer belongs to, each once."""
        ids = list(self.category_ids(offer.category_id))
        if offer.sub_category_id is not None and offer.sub_category_id not in ids:
            ids.append(offer.sub_category_id)
        return tuple(ids)
