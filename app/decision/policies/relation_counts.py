"""The policies of one flow about what else the customer was offered, compared together.

Rules of this module:

1.  They block candidates by what they are about: `offer/<id>` or `category/<id>`. Only those that the
    customer was offered, or that were taken in this decision, are looked at, however many there are.
2.  A group is closed as a whole, save for the one offer that closed it; a second one closes it for that one
    too. Its offers are not walked: a customer was offered few of them.
3.  Whether anything was offered in a window is exact also for totals; how often may not be, see `history`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.decision.contacts.totals import ANY
from app.decision.decision import CustomerView
from app.decision.entities import Category, Offer
from app.decision.index import EntityIndex
from app.decision.policies.claims import Claim
from app.decision.policies.history import NO_HISTORY, History
from app.decision.policies.relations import CategorySuppression, Exclusion, OfferCap
from app.decision.policies.windows import CountingWindow
from app.decision.policies.zones import LocalClock
from app.decision.state import Contact, ContactTotal

Relation = OfferCap | CategorySuppression | Exclusion


class RelationCounts:
    """Every (relation, scope) of a flow by its bit."""

    __slots__ = ("_categories", "_subcategories", "by_category", "by_offer", "groups", "windows")

    def __init__(self, entries: Sequence[tuple[int, Relation]], index: EntityIndex) -> None:
        self.by_offer = [(bit, rule) for bit, rule in entries if isinstance(rule, OfferCap)]
        self.by_category = [(bit, rule) for bit, rule in entries if isinstance(rule, CategorySuppression)]
        self.groups = [(bit, rule) for bit, rule in entries if isinstance(rule, Exclusion)]
        self.windows = {rule.window for _, rule in entries if rule.window is not None}
        self._categories = {one.id: index.category_ids(one.id) for one in index.all("categories", Category)}
        self._subcategories = {offer.id: offer.sub_category_id for offer in index.all("offers", Offer)}

    def keys(self, claim: Claim) -> tuple[str, ...]:
        """What a candidate may be blocked under, groups aside."""
        keys = []
        if any(claim.mask >> bit & 1 for bit, _ in self.by_offer):
            keys.append(f"offer/{claim.offer_id}")
        if any(claim.mask >> bit & 1 for bit, _ in self.by_category):
            keys.append(f"category/{claim.category_id}")
        return tuple(keys)

    def assess(self, customer: CustomerView, clock: LocalClock) -> RelationState:
        """What the customer's contacts block."""
        state = RelationState(self, {window: window.since_ms(clock) for window in self.windows}, clock)
        oldest_ms = min(state.since.values(), default=None)
        if oldest_ms is not None:
            for contact in customer.contacts:
                if contact.at_ms >= oldest_ms:
                    for history in self._histories(contact, state):
                        history.times.append(contact.at_ms)
            for total in customer.totals:
                if total.last_ms >= oldest_ms:
                    for history in self._histories(total, state):
                        history.totals.append(total)
        state.begin()
        return state

    def _histories(self, contact: Contact | ContactTotal, state: RelationState) -> Iterator[History]:
        if self.by_offer or self.groups:
            # An id that is no longer known may have been any: too many are counted, never too few.
            offer_ids = self._subcategories if contact.offer_id == ANY else (contact.offer_id,)
            for offer_id in offer_ids:
                yield state.offers.setdefault(offer_id, History([], []))
        if self.by_category:
            for category_id in self._category_ids(contact):
                yield state.categories.setdefault(category_id, History([], []))

    def _category_ids(self, contact: Contact | ContactTotal) -> Iterable[str]:
        """What a contact's offer belongs to: its category then, that one's parent, its subcategory now."""
        if contact.category_id == ANY:
            return self._categories
        ids = dict.fromkeys(self._categories.get(contact.category_id, (contact.category_id,)))
        if contact.offer_id == ANY:
            ids.update(dict.fromkeys(one for one in self._subcategories.values() if one is not None))
        elif (subcategory_id := self._subcategories.get(contact.offer_id)) is not None:
            ids[subcategory_id] = None
        return ids


class RelationState:
    """What one customer's contacts, and the candidates taken so far, block, by `offer/<id>` and so on."""

    __slots__ = (
        "_clock", "_counts", "_excluders", "_latest", "_offers_taken", "_taken", "blocked", "categories",
        "closed", "keyed", "offers", "since", "spared",
    )  # fmt: skip

    def __init__(self, counts: RelationCounts, since: dict[CountingWindow, int], clock: LocalClock) -> None:
        self._counts = counts
        self._clock = clock
        #: When each window began, epoch ms.
        self.since = since
        self.offers: dict[str, History] = {}
        self.categories: dict[str, History] = {}
        #: Candidates taken in this decision, by offer and by category.
        self._taken: Counter[str] = Counter()
        self._offers_taken: set[str] = set()
        #: The offers delivered, the latest first: (minus epoch ms, offer id).
        self._latest: list[tuple[int, str]] = []
        #: The bits that block, everywhere and by key.
        self.blocked = 0
        self.keyed: dict[str, int] = {}
        #: The groups closed, and those of them that each offer closed alone: they do not block it.
        self.closed = 0
        self.spared: dict[str, int] = {}
        #: Who closed each group first, by bit.
        self._excluders: dict[int, str] = {}

    def begin(self) -> None:
        """Work out what the contacts block, before any candidate is taken."""
        for history in (*self.offers.values(), *self.categories.values()):
            history.times.sort()
        for bit, cap in self._counts.by_offer:
            if cap.most <= 0:
                self.blocked |= 1 << bit
            for offer_id, history in self.offers.items():
                if history.count(self.since[cap.window]) >= cap.most:
                    self._close(f"offer/{offer_id}", bit)
        for bit, rule in self._counts.by_category:
            for category_id, history in self.categories.items():
                if history.count(self.since[rule.window]):
                    self._close(f"category/{category_id}", bit)
        if self._counts.groups:
            lasts = ((history.last_ms(), offer_id) for offer_id, history in self.offers.items())
            self._latest = sorted((-last_ms, offer_id) for last_ms, offer_id in lasts if last_ms is not None)
        for bit, group in self._counts.groups:
            if group.window is not None:
                for offer_id in self._delivered(group, self.since[group.window]):
                    self._exclude(bit, offer_id)

    def _delivered(self, group: Exclusion, since_ms: int) -> list[str]:
        """The offers of a group delivered last since an instant: two at most, the latest first."""
        found: list[str] = []
        for minus_ms, offer_id in self._latest:
            if -minus_ms < since_ms or len(found) == 2:
                break
            if offer_id in group.members:
                found.append(offer_id)
        return found

    def against(self, claim: Claim) -> int:
        """The bits that block a candidate for what it is about, as a mask; only those of its claim hold."""
        blocked = self.closed & ~self.spared.get(claim.offer_id, 0)
        for key in claim.keys:
            blocked |= self.keyed.get(key, 0)
        return blocked

    def take(self, claim: Claim) -> None:
        """Count a candidate taken into this decision."""
        self._taken[f"offer/{claim.offer_id}"] += 1
        self._offers_taken.add(claim.offer_id)
        for category_id in claim.category_ids:
            self._taken[f"category/{category_id}"] += 1
        for bit, cap in self._counts.by_offer:
            history = self.offers.get(claim.offer_id, NO_HISTORY)
            taken = self._taken[f"offer/{claim.offer_id}"]
            if history.count(self.since[cap.window]) + taken >= cap.most:
                self._close(f"offer/{claim.offer_id}", bit)
        for bit, _ in self._counts.by_category:
            for category_id in claim.category_ids:
                self._close(f"category/{category_id}", bit)
        for bit, group in self._counts.groups:
            if claim.offer_id in group.members:
                self._exclude(bit, claim.offer_id)

    def _close(self, key: str, bit: int) -> None:
        self.keyed[key] = self.keyed.get(key, 0) | 1 << bit

    def _exclude(self, bit: int, offer_id: str) -> None:
        """Block every other offer of a group."""
        first = self._excluders.setdefault(bit, offer_id)
        if first != offer_id:
            self.spared[first] &= ~(1 << bit)
        elif not self.closed >> bit & 1:
            self.closed |= 1 << bit
            self.spared[offer_id] = self.spared.get(offer_id, 0) | 1 << bit

    def numbers(self, rule: Relation, claim: Claim) -> dict[str, Any]:
        """What a relation compares at this moment, with the candidates taken so far."""
        if isinstance(rule, Exclusion):
            return self._excluded(rule, claim.offer_id)
        if isinstance(rule, OfferCap):
            named = {"offerId": claim.offer_id}
            key, history = f"offer/{claim.offer_id}", self.offers.get(claim.offer_id)
        else:
            named = {"categoryId": claim.category_id}
            key, history = f"category/{claim.category_id}", self.categories.get(claim.category_id)
        counted = (history or NO_HISTORY).counted(self.since[rule.window], self._taken[key])
        most = {"max": rule.most} if isinstance(rule, OfferCap) else {}
        count = {"count": counted.pop("count")}
        return {**named, **count, **most, **rule.window.numbers(self._clock), **counted}

    def _excluded(self, group: Exclusion, offer_id: str) -> dict[str, Any]:
        """Which other offer of the group excludes one: the latest, those of this decision first."""
        taken = (self._offers_taken & group.members) - {offer_id}
        if taken:
            other = min(taken, key=group.offer_ids.index)
            return {"excludedBy": other, "takenInThisDecision": self._taken[f"offer/{other}"]}
        if group.window is None:
            return {}
        others = [one for one in self._delivered(group, self.since[group.window]) if one != offer_id]
        last_ms = self.offers[others[0]].last_ms() or 0
        age_ms = self._clock.now_ms - last_ms
        return {"excludedBy": others[0], "ageMs": age_ms, **group.window.numbers(self._clock)}
