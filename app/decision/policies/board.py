"""Contact policies of one flow: what a customer's contacts, state and moment block.

Rules of this module:

1.  A policy holds in each of its scopes on its own: a cap of 3 on two offers allows 3 of each. Without
    scopes it holds everywhere. One in the scope of a segment holds for the customers in it, everywhere.
    Policies take precedence by priority (descending), then by id.
2.  A flow pays for the kinds that its policies have, and for calendars only where one counts by them.
3.  A mandatory offer passes policies that can be bypassed, except frequency and cross-channel caps and
    budgets; it still uses up room.
4.  Budgets hold last, without a policy; see `budgets`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.decision.conditions import Environment
from app.decision.decision import CustomerView
from app.decision.entities import ContactPolicy, Creative, Offer, TenantSettings
from app.decision.index import EntityIndex
from app.decision.policies.assessment import Assessment
from app.decision.policies.budgets import BudgetExhausted, BudgetRooms, bounds, budget_keys
from app.decision.policies.cap_counts import CapCounts, counted_where
from app.decision.policies.caps import Cap, CategoryCap
from app.decision.policies.claims import Claim
from app.decision.policies.kinds import HOLDS_FOR_MANDATORY, NEVER_LIFTED, compile_policy
from app.decision.policies.overrides import Override
from app.decision.policies.relation_counts import Relation, RelationCounts
from app.decision.policies.relations import CategorySuppression, Exclusion, OfferCap
from app.decision.policies.rules import Moment, Rule, StateRule
from app.decision.policies.suppressions import OutcomeBased
from app.decision.policies.zones import LocalClock
from app.decision.reasons import Reason, reason
from app.decision.scopes import EVERYWHERE, ScopeMasks, Standing, Where, resolve_scopes
from app.decision.shared import Budgets


class Entry(msgspec.Struct, frozen=True):
    """One policy in one of its scopes; its place in the board is its bit."""

    #: Why it removes a candidate: in the first pass, and in the second, during the rank walk.
    reason: Reason
    rank_reason: Reason
    rule: Rule


class PolicyBoard:
    """The contact policies of one flow, compiled against its tenant's catalogue."""

    __slots__ = (
        "_bypassed", "_covering", "_groups", "_has_budgets", "_overrides", "_relations", "_segments",
        "_states", "_suppressed", "_time_zone", "_used", "_within", "budget_bits", "caps", "entries",
        "lasting",
    )  # fmt: skip

    def __init__(self, policies: list[ContactPolicy], index: EntityIndex) -> None:
        self.entries: list[Entry] = []
        #: Where each entry can remove a candidate, and where a candidate taken uses up its room.
        self._covering, self._used = ScopeMasks(), ScopeMasks()
        #: Entries that hold only on some channels, or for the offers of a group.
        self._within: dict[frozenset[str], int] = {}
        self._groups: dict[frozenset[str], int] = {}
        self._bypassed = 0
        #: Entries that no override lifts.
        self.lasting = 0
        self.budget_bits = 0
        self._segments: dict[str, int] = {}
        self._states: list[tuple[int, StateRule]] = []
        self._overrides: list[tuple[int, Override]] = []
        self._suppressed: dict[tuple[str, Where], int] = {}
        caps: list[tuple[int, Cap, Where]] = []
        relations: list[tuple[int, Relation]] = []
        for policy in sorted(policies, key=lambda policy: (-policy.priority, policy.id)):
            rule = compile_policy(policy)
            if not isinstance(rule, list):
                rule = rule.resolved(index)
                for where in resolve_scopes(policy.scopes, index):
                    self._add(policy, rule, where, caps, relations)
        self._has_budgets = _any_budget(index)
        if self._has_budgets:
            self._add_budgets()
        self.caps = CapCounts(caps, index)
        self._relations = RelationCounts(relations, index) if relations else None
        settings = next(iter(index.all("tenant-settings", TenantSettings)), TenantSettings())
        self._time_zone = settings.time_zone

    def _add(
        self,
        policy: ContactPolicy,
        rule: Rule,
        where: Where,
        caps: list[tuple[int, Cap, Where]],
        relations: list[tuple[int, Relation]],
    ) -> None:
        """Enter a policy in one of its scopes."""
        if isinstance(rule, CategorySuppression) and where[0] == "category":
            rule = CategoryCap(((rule.window, 1),), category_id=where[1])
        bit = self._enter(reason("contact_policy", policy.kind, policy.id), policy, rule)
        if where[0] == "segment":
            self._segments[where[1]] = self._segments.get(where[1], 0) | 1 << bit
        self._covering.add(EVERYWHERE if where[0] == "segment" else where, bit)
        if isinstance(rule, Cap):
            caps.append((bit, rule, where))
            self._used.add(counted_where(rule, where), bit)
            if rule.channels is not None:
                _also(self._within, frozenset(rule.channels), bit)
        elif isinstance(rule, OfferCap | CategorySuppression | Exclusion):
            relations.append((bit, rule))
            if isinstance(rule, Exclusion):
                _also(self._groups, rule.members, bit)
        elif isinstance(rule, StateRule):
            self._states.append((bit, rule))
        elif isinstance(rule, OutcomeBased):
            self._suppressed[policy.id, where] = bit
        elif isinstance(rule, Override):
            self._overrides.append((bit, rule))
        else:
            self.budget_bits |= 1 << bit

    def _enter(self, first: Reason, policy: ContactPolicy | None, rule: Rule) -> int:
        """The bit of a new entry, which comes after all others; without a policy nothing lifts it."""
        bit = len(self.entries)
        self.entries.append(Entry(first, reason("rank", first.kind, first.rule_id), rule))
        bypassable = policy is not None and policy.bypassable
        if not bypassable or first.kind in NEVER_LIFTED:
            self.lasting |= 1 << bit
        if bypassable and first.kind not in HOLDS_FOR_MANDATORY and not isinstance(rule, Override):
            self._bypassed |= 1 << bit
        return bit

    def _add_budgets(self) -> None:
        """Let every budget hold everywhere, after all policies."""
        bit = self._enter(reason("contact_policy", "budget_exhausted"), None, BudgetExhausted())
        self._covering.add(EVERYWHERE, bit)
        self.budget_bits |= 1 << bit

    def claim(self, offer: Offer, creative: Creative, standing: Standing) -> Claim:
        """How these policies see the candidate that stands there."""
        covering, used = self._covering.mask(standing), self._used.mask(standing)
        for channels, bits in self._within.items():
            if standing.channel_id not in channels:
                covering &= ~bits
                used &= ~bits
        for offers, bits in self._groups.items():
            if offer.id not in offers:
                covering &= ~bits
        bare = Claim(
            mask=covering & ~self._bypassed if offer.mandatory else covering,
            uses=tuple(bit for bit in range(len(self.entries)) if used >> bit & 1),
            offer_id=offer.id,
            category_id=offer.category_id,
            category_ids=standing.category_ids,
            budgets=budget_keys(offer, creative),
        )
        if self._relations is None:
            return bare
        return msgspec.structs.replace(bare, keys=self._relations.keys(bare))

    def assess(
        self,
        customer: CustomerView,
        environment: Environment,
        now_ms: int,
        in_segment: Callable[[str], bool],
        budgets: Budgets,
    ) -> Assessment:
        """What blocks this customer's candidates now, for every scope at once.

        Args:
            customer: Whose contacts, totals, suppressions and time zone are read.
            environment: What conditions read.
            now_ms: The instant of the decision, epoch ms.
            in_segment: Whether the customer is in the segment of an id.
            budgets: What may still be spent.
        """
        profile = customer.profile
        clock = LocalClock(now_ms, None if profile is None else profile.time_zone, self._time_zone)
        moment = Moment(clock, environment, in_segment)
        found = Assessment(self, moment, BudgetRooms(budgets))
        for segment_id, bits in self._segments.items():
            if not in_segment(segment_id):
                found.active &= ~bits
        if self.caps.bits:
            found.count(*self.caps.assess(customer, clock))
        for bit, rule in self._states:
            if found.active >> bit & 1 and rule.blocks(moment):
                found.blocked |= 1 << bit
        if self._suppressed:
            self._suppress(customer, found, now_ms)
        for bit, override in self._overrides:
            if override.holds(environment):
                found.lifting |= 1 << bit & found.active
        if self._relations is not None:
            found.relations = self._relations.assess(customer, clock)
            found.blocked |= found.relations.blocked
        found.blocked &= found.active
        found.plain = not (self._relations or self._has_budgets or found.lifting)
        return found

    def _suppress(self, customer: CustomerView, found: Assessment, now_ms: int) -> None:
        """Block what a suppression closes now."""
        for one in customer.suppressions:
            bit = self._suppressed.get((one.policy_id, (one.dimension, one.entity_id)))
            if bit is None or one.until_ms <= now_ms:
                continue
            found.blocked |= 1 << bit
            longest = found.suppressed.get(bit)
            if longest is None or one.until_ms > longest.until_ms:
                found.suppressed[bit] = one


def _also(bits: dict[frozenset[str], int], members: frozenset[str], bit: int) -> None:
    bits[members] = bits.get(members, 0) | 1 << bit


def _any_budget(index: EntityIndex) -> bool:
    """Whether anything that can be offered has a budget."""
    return any(bounds(offer.budget) for offer in index.all("offers", Offer)) or any(
        bounds(creative.budget) for creative in index.all("creatives", Creative)
    )
