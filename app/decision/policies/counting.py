"""What a tenant's contact policies have counted of one customer, to be shown.

Rules of this module:

1.  Every active policy that counts contacts is there, whether a flow uses it or not, by priority
    (descending), then by id. The counts are those that decisions, traces and eligibility compare.
2.  A cap says its count in each of its scopes and windows. What counts by offer or by category says those
    that the customer was contacted about in its window.
3.  200 policies and 50 counts of each are shown, the highest counts first past that; the rest are a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec

from app.decision.decision import CustomerView
from app.decision.entities import ContactPolicy
from app.decision.index import EntityIndex
from app.decision.policies.cap_counts import counted_where
from app.decision.policies.caps import Cap, CategoryCap, Cooldown
from app.decision.policies.counters import ContactIndex, Counted
from app.decision.policies.history import NO_HISTORY, History
from app.decision.policies.kinds import compile_policy
from app.decision.policies.relation_counts import Relation, RelationCounts, RelationState
from app.decision.policies.relations import CategorySuppression, Exclusion, OfferCap
from app.decision.policies.windows import CountingWindow
from app.decision.policies.zones import LocalClock
from app.decision.scopes import Where, resolve_scopes

POLICIES_MAX = 200
COUNTS_MAX = 50

_FROM_THE_FIRST_MS = -(2**62)


class PolicyCount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The contacts that a policy counted in one scope and window, and what it compares them with.

    Without `window_ms` and `calendar` the window never ends. A calendar window goes `from_` `to` in
    `time_zone`. `inexact`: too many may be counted, never too few.
    """

    scope: str
    entity_id: str | None = None
    count: int
    max: int | None = None
    window_ms: int | None = None
    calendar: str | None = None
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    time_zone: str | None = None
    #: Since the last contact, of a cooldown.
    age_ms: int | None = None
    inexact: bool = False


class PolicyCounts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One policy's counts; `counts_left_out` is how many are not shown."""

    policy_id: str
    policy_name: str
    kind: str
    counts: list[PolicyCount]
    counts_left_out: int = 0


class Counting(msgspec.Struct, frozen=True):
    """A policy that counts contacts: by its caps, each in a scope, or by what a candidate is about."""

    policy: ContactPolicy
    caps: list[tuple[Cap, Where]]
    relation: Relation | None


class CountingPolicies:
    """A tenant's policies that count contacts, compiled once for all its customers."""

    __slots__ = ("_contacts", "_counters", "_policies", "_relations", "left_out")

    def __init__(self, index: EntityIndex) -> None:
        counting = list(_counting(index))
        #: Policies that are not shown.
        self.left_out = max(len(counting) - POLICIES_MAX, 0)
        self._policies = counting[:POLICIES_MAX]
        self._counters: dict[Counted, int] = {}
        for one in self._policies:
            for cap, where in one.caps:
                self._counters.setdefault(_counted(cap, where), len(self._counters))
        self._contacts = ContactIndex(self._counters, index)
        relations = [
            (bit, one.relation) for bit, one in enumerate(self._policies) if one.relation is not None
        ]
        self._relations = RelationCounts(relations, index)

    def counts(self, customer: CustomerView, clock: LocalClock) -> list[PolicyCounts]:
        """What each policy counts at the clock's instant.

        Args:
            customer: whose contacts and totals are counted.
            clock: the customer's.
        """
        found = self._contacts.sort(customer.contacts, customer.totals, _FROM_THE_FIRST_MS)
        related = self._relations.assess(customer, clock)
        return [
            _shown(one.policy, [*self._of_caps(one, found, clock), *_of_relation(one, related, clock)])
            for one in self._policies
        ]

    def _of_caps(self, one: Counting, found: dict[int, History], clock: LocalClock) -> Iterator[PolicyCount]:
        for cap, where in one.caps:
            history = found.get(self._counters[_counted(cap, where)], NO_HISTORY)
            for window, most in cap.windows:
                last_ms = history.last_ms() if isinstance(cap, Cooldown) else None
                age_ms = None if last_ms is None else clock.now_ms - last_ms
                yield _count(where, history, window, most, clock, age_ms)


def _counting(index: EntityIndex) -> Iterator[Counting]:
    """The active policies that count; what does not compile is left out."""
    policies = index.all("contact-policies", ContactPolicy)
    for policy in sorted(policies, key=lambda policy: (-policy.priority, policy.id)):
        rule = compile_policy(policy) if policy.status == "active" else []
        if isinstance(rule, list):
            continue
        rule = rule.resolved(index)
        wheres = resolve_scopes(policy.scopes, index)
        if isinstance(rule, Cap):
            yield Counting(policy, [(rule, where) for where in wheres], None)
        elif isinstance(rule, CategorySuppression):
            # As the board has it: in the scope of a category it is about that one.
            caps = [(_category_cap(rule, where), where) for where in wheres if where[0] == "category"]
            yield Counting(policy, caps, rule if len(caps) < len(wheres) else None)
        elif isinstance(rule, OfferCap) or (isinstance(rule, Exclusion) and rule.window is not None):
            yield Counting(policy, [], rule)


def _category_cap(rule: CategorySuppression, where: Where) -> Cap:
    return CategoryCap(((rule.window, 1),), category_id=where[1])


def _counted(cap: Cap, where: Where) -> Counted:
    return counted_where(cap, where), None if cap.channels is None else frozenset(cap.channels)


def _of_relation(one: Counting, related: RelationState, clock: LocalClock) -> Iterator[PolicyCount]:
    rule = one.relation
    if isinstance(rule, CategorySuppression):
        for category_id, history in related.categories.items():
            yield from _any_in(("category", category_id), history, rule.window, 1, clock)
    elif isinstance(rule, OfferCap):
        for offer_id, history in related.offers.items():
            yield from _any_in(("offer", offer_id), history, rule.window, rule.most, clock)
    elif isinstance(rule, Exclusion) and rule.window is not None:
        for offer_id, history in related.offers.items():
            if offer_id in rule.members:
                yield from _any_in(("offer", offer_id), history, rule.window, None, clock)


def _any_in(
    where: Where, history: History, window: CountingWindow, most: int | None, clock: LocalClock
) -> Iterator[PolicyCount]:
    if history.count(window.since_ms(clock)):
        yield _count(where, history, window, most, clock)


def _count(
    where: Where,
    history: History,
    window: CountingWindow,
    most: int | None,
    clock: LocalClock,
    age_ms: int | None = None,
) -> PolicyCount:
    since_ms = window.since_ms(clock)
    frame: dict[str, Any] = window.numbers(clock)
    return PolicyCount(
        scope=where[0],
        entity_id=where[1] or None,
        count=history.count(since_ms),
        max=most,
        window_ms=frame.get("windowMs"),
        calendar=frame.get("calendar"),
        from_=frame.get("from"),
        to=frame.get("to"),
        time_zone=frame.get("timeZone"),
        age_ms=age_ms,
        inexact=history.inexact(since_ms),
    )


def _shown(policy: ContactPolicy, counts: list[PolicyCount]) -> PolicyCounts:
    left_out = max(len(counts) - COUNTS_MAX, 0)
    if left_out:
        counts = sorted(counts, key=attrgetter("count"), reverse=True)[:COUNTS_MAX]
    return PolicyCounts(
        policy_id=policy.id,
        policy_name=policy.name,
        kind=policy.kind,
        counts=counts,
        counts_left_out=left_out,
    )
