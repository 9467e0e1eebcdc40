"""Which offers are in a flow's inventory."""

from __future__ import annotations

from collections.abc import Callable

from app.decision.entities import DecisionFlow, Offer
from app.decision.index import EntityIndex


def in_inventory(flow: DecisionFlow, index: EntityIndex) -> Callable[[Offer], bool]:
    """Tells whether an offer is in a flow's inventory, whatever its status. Its ids are looked up once."""
    inventory = flow.inventory
    if inventory.scope == "all":
        return lambda offer: True
    wanted = {index.id_of(inventory.scope, reference) for reference in inventory.ids}
    if inventory.scope == "offers":
        return lambda offer: offer.id in wanted
    return lambda offer: not wanted.isdisjoint(index.categories_of(offer))
