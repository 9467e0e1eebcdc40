"""Sorting a customer's contacts by what contact policies count.

Rules of this module:

1.  A counter is one history of contacts: those in one scope, on the channels that the policy is
    restricted to. Policies with the same scope and channels share one.
2.  A contact belongs to the category it was made in and that one's parent, and to its offer's subcategory
    of today (the contact log does not keep it). It adds to a counter once, however it got there.
3.  A total whose id is `ANY` adds to every counter that the id decides: too many, never too few.
4.  All counters are filled in one pass over the contacts, by a few look-ups for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.decision.contacts.totals import ANY
from app.decision.entities import Category, Offer
from app.decision.index import EntityIndex
from app.decision.policies.history import History
from app.decision.scopes import EVERYWHERE, Where
from app.decision.state import Contact, ContactTotal

#: What a counter counts: a scope, and the channels (by id) it is restricted to.
Counted = tuple[Where, frozenset[str] | None]
#: Counters that a contact adds to, each with the channels it is restricted to.
_Hits = tuple[tuple[int, frozenset[str] | None], ...]


class ContactIndex:
    """The counters of one flow's contact policies."""

    __slots__ = ("_by_category", "_by_subcategory_offer", "_everywhere", "_simple")

    def __init__(self, counters: Mapping[Counted, int], index: EntityIndex) -> None:
        hits: dict[Where, _Hits] = {}
        for (where, channels), counter in counters.items():
            hits[where] = (*hits.get(where, ()), (counter, channels))
        self._everywhere = hits.get(EVERYWHERE, ())
        simple: dict[str, dict[str, _Hits]] = {}
        for (dimension, entity_id), found in hits.items():
            if dimension not in ("category", "global"):
                simple.setdefault(dimension, {})[entity_id] = found
        #: (field of a contact, counters by its value), for the scopes that a contact names outright.
        self._simple = tuple((f"{dimension}_id", by_id) for dimension, by_id in simple.items())
        self._by_category: dict[str, _Hits] = {}
        for category in index.all("categories", Category):
            ids = index.category_ids(category.id)
            if joined := _joined(hits.get(("category", one), ()) for one in ids):
                self._by_category[category.id] = joined
        self._by_subcategory_offer: dict[str, _Hits] = {}
        for offer in index.all("offers", Offer):
            if found := hits.get(("category", offer.sub_category_id or ""), ()):
                self._by_subcategory_offer[offer.id] = found

    def sort(
        self, contacts: Iterable[Contact], totals: Iterable[ContactTotal], oldest_ms: int
    ) -> dict[int, History]:
        """The contacts that each counter counts, times ascending; empty counters are left out.

        Args:
            contacts: The customer's contacts, in any order.
            totals: Those that are kept as totals only.
            oldest_ms: Contacts before this instant (epoch ms) are left out.
        """
        found: dict[int, History] = {}
        for contact in contacts:
            at_ms = contact.at_ms
            if at_ms < oldest_ms:
                continue
            for counter, channels in self._hits(contact):
                if channels is not None and contact.channel_id not in channels:
                    continue
                if counter in found:
                    found[counter].times.append(at_ms)
                else:
                    found[counter] = History([at_ms], [])
        for total in totals:
            if total.last_ms >= oldest_ms:
                for counter, channels in self._hits_of_total(total):
                    if channels is None or total.channel_id == ANY or total.channel_id in channels:
                        found.setdefault(counter, History([], [])).totals.append(total)
        for one in found.values():
            one.times.sort()
        return found

    def _hits(self, contact: Contact | ContactTotal) -> _Hits:
        hits = self._everywhere
        for field, by_id in self._simple:
            found = by_id.get(getattr(contact, field))
            if found is not None:
                hits += found
        if self._by_category:
            found = self._by_category.get(contact.category_id, ())
            more = self._by_subcategory_offer.get(contact.offer_id)
            hits += _joined((found, more)) if more is not None else found
        return hits

    def _hits_of_total(self, total: ContactTotal) -> _Hits:
        """As of contacts; an id that is no longer known may have been any."""
        parts = [self._hits(total)]
        for field, by_id in self._simple:
            if getattr(total, field) == ANY:
                parts.extend(by_id.values())
        if total.category_id == ANY:
            parts.extend(self._by_category.values())
        if total.offer_id == ANY:
            parts.extend(self._by_subcategory_offer.values())
        return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Iterable[_Hits]) -> _Hits:
    """The counters of several things, each once."""
    found: dict[int, frozenset[str] | None] = {}
    for part in parts:
        found.update(part)
    return tuple(found.items())
