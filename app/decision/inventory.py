"""Which offers are in a flow's inventory."""

from __future__ import annotations

from app.decision.entities import DecisionFlow, Offer
from app.decision.index import EntityIndex


def has_in_inventory(flow: DecisionFlow, offer: Offer, index: EntityIndex) -> bool:
    """Whether an offer is in a flow's inventory, whatever its status."""
    inventory = flow.inventory
    if inventory.scope == "all":
        return True
    wanted = {index.id_of(inventory.scope, reference) for reference in inventory.ids}
    if inventory.scope == "offers":
        return offer.id in wanted
    return not wanted.isdisjoint(index.categories_of(offer))
