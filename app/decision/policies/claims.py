"""How the contact policies of a flow see one candidate."""

from __future__ import annotations

import msgspec


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What can remove a candidate, and what it uses up when it is taken."""

    #: The entries that can remove it, and the overrides that can save it, as a mask of the board.
    mask: int
    #: The caps whose room it uses up, as bits.
    uses: tuple[int, ...]
    offer_id: str
    #: The category of its offer, and every category and subcategory that the offer belongs to.
    category_id: str
    category_ids: tuple[str, ...]
    #: What relations may block it under; see `relation_counts`.
    keys: tuple[str, ...] = ()
    #: The budgets that it draws on; see `budgets`.
    budgets: tuple[str, ...] = ()
