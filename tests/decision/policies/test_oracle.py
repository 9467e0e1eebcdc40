"""Contact policies against an oracle that looks at every contact one by one, over random histories.

The oracle knows no windows' beginnings: by calendar a contact counts when the customer's clock showed the
same hour, date, week or month as now. Totals are made from contacts that the oracle still has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.decide import CustomerView
from app.decision.decision import Decided
from app.decision.state import Contact, ContactTotal, Profile
from app.decision.trace import CandidateTrace, FilterStage
from tests.decision.building import decided, tenant
from tests.decision.policies.test_zones import BERLIN, LORD_HOWE, NEW_YORK, ms

OFFERS = {"o1": ("a", None), "o2": ("a", "a1"), "o3": ("b", None), "o4": ("b", None)}
CHANNELS = ["c1", "c2"]
HOUR = 3_600_000
DAY = 24 * HOUR
WINDOWS = {"perHour": HOUR, "perDay": DAY, "perWeek": 7 * DAY, "perMonth": 30 * DAY}
UNITS = {HOUR: "hour", DAY: "day", 7 * DAY: "week", 30 * DAY: "month"}


class World(msgspec.Struct):
    """One random case: the moment, the policies, and the contacts, some of which are kept as totals."""

    now_ms: int
    zone: str
    policies: list[dict[str, Any]]
    contacts: list[Contact]
    totals: list[list[Contact]]
    priorities: list[int]
    mandatory: list[bool]
    gold: bool

    def customer(self) -> CustomerView:
        """The customer as a decision reads one."""
        totals = [
            ContactTotal(min(one.at_ms for one in alike), max(one.at_ms for one in alike), len(alike),
                         *msgspec.structs.astuple(alike[0])[1:])
            for alike in self.totals
        ]  # fmt: skip
        profile = Profile({"tier": "gold" if self.gold else "tin"}, time_zone=self.zone)
        return CustomerView("ann", profile, contacts=self.contacts, totals=totals)


def documents(world: World) -> dict[str, list[dict[str, Any]]]:
    """A catalogue in which every offer has a creative on every channel."""
    gold = {"field": "customer.tier", "operator": "eq", "value": "gold"}
    return {
        "categories": [
            {"id": "a", "name": "a"},
            {"id": "b", "name": "b"},
            {"id": "a1", "name": "a1", "parentId": "a"},
        ],
        "channels": [{"id": one, "name": one, "type": "web"} for one in CHANNELS],
        "segments": [{"id": "gold", "name": "gold", "filter": gold}],
        "offers": [
            {"id": offer, "name": offer, "categoryId": category, "subCategoryId": sub, "priority": priority,
             "mandatory": mandatory}
            for (offer, (category, sub)), priority, mandatory in zip(
                OFFERS.items(), world.priorities, world.mandatory, strict=True
            )
        ],
        "creatives": [
            {"id": f"{offer}.{channel}", "name": "x", "offerId": offer, "channelId": channel}
            for offer in OFFERS
            for channel in CHANNELS
        ],
        "contact-policies": world.policies,
        "decision-flows": [
            {"id": "f", "name": "f", "status": "active", "ranking": {"oneCreativePerOffer": False}}
        ],
    }  # fmt: skip


# -- random worlds -----------------------------------------------------------------------------------------

SCOPE = st.sampled_from(
    [{"scope": "global"}, {"scope": "segment", "id": "gold"}]
    + [{"scope": "offer", "id": one} for one in OFFERS]
    + [{"scope": "category", "id": one} for one in ("a", "b", "a1")]
    + [{"scope": "subcategory", "id": "a1"}]
    + [{"scope": "channel", "id": one} for one in CHANNELS]
    + [{"scope": "creative", "id": one} for one in ("o1.c1", "o2.c2")]
)
LENGTH = st.sampled_from([1, 1_000, *WINDOWS.values()])
PERIOD = st.sampled_from(list(WINDOWS.values()))


def body(kind: str, calendar: bool, **config: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Policies of a kind."""
    return st.fixed_dictionaries(config).map(
        lambda drawn: {"kind": kind, "calendar": calendar, "config": drawn}
    )


def counting(calendar: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Every kind that counts, rolling or by calendar."""
    length, most = PERIOD if calendar else LENGTH, st.integers(0, 4)
    names = sorted(WINDOWS) if calendar else [*sorted(WINDOWS), "total"]
    group = st.lists(st.sampled_from(list(OFFERS)), min_size=2, max_size=3, unique=True)
    cap = st.tuples(
        st.dictionaries(st.sampled_from(names), most, min_size=1),
        st.sampled_from([[], ["c1"], ["c1", "c2"]]),
    ).map(
        lambda drawn: {
            "kind": "frequency_cap", "calendar": calendar, "config": {**drawn[0], "channels": drawn[1]}
        }
    )  # fmt: skip
    return st.one_of(
        cap,
        body("customer_total_cap", calendar, max=most, windowMs=length),
        body("cross_channel_cap", calendar, max=most, windowMs=length),
        body("category_suppression", calendar, windowMs=length),
        body("mutual_exclusion", calendar, offerIds=group, windowMs=length),
    )


OTHERS = st.one_of(
    body("cooldown", False, cooldownMs=LENGTH),
    body("mutual_exclusion", False, offerIds=st.just(["o1", "o2", "o4"])),
    body("allow_override", False),
)
POLICIES = st.lists(
    st.tuples(
        counting(False) | counting(True) | OTHERS,
        st.lists(SCOPE, max_size=3),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda drawn: [
        {"id": f"p{i}", "name": "p", **document, "scopes": scopes, "priority": priority,
         "bypassable": bypassable or document["kind"] == "allow_override"}
        for i, (document, scopes, priority, bypassable) in enumerate(drawn)
    ]
)  # fmt: skip
#: Moments around which calendars are awkward: changes of the clock, the ends of months and years, a leap day.
NOWS = [
    *(ms(text) for text in (
        "2027-01-15T08:00Z", "2027-03-28T01:30Z", "2027-10-31T00:30Z", "2027-10-31T01:30Z",
        "2027-03-14T07:30Z", "2027-11-07T06:30Z", "2027-10-02T15:45Z", "2027-04-03T15:15Z",
        "2027-04-03T14:45Z", "2028-02-29T12:00Z", "2026-12-31T23:30Z", "2027-01-01T00:00Z",
    )),
]  # fmt: skip
ZONES = ["UTC", BERLIN, NEW_YORK, LORD_HOWE]
#: Ages around the edges of the rolling windows, where mistakes live.
EDGES = sorted({edge + by for edge in (0, 1_000, *WINDOWS.values()) for by in (-1, 0, 1)})


def ages(now_ms: int) -> st.SearchStrategy[int]:
    """Ages anywhere, around rolling edges, and around whole and half hours, where days begin."""
    half_hours = st.integers(0, 24 * 40).map(lambda n: now_ms % (HOUR // 2) + n * (HOUR // 2))
    return st.one_of(
        st.sampled_from(EDGES),
        st.integers(-5, 40 * DAY),
        st.builds(int.__add__, half_hours, st.integers(-1, 1)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A random case."""
    now_ms = draw(st.sampled_from(NOWS))

    def made(age_ms: int, offer: str, channel: str) -> Contact:
        return Contact(now_ms - age_ms, offer, f"{offer}.{channel}", channel, OFFERS[offer][0])

    place = st.tuples(st.sampled_from(list(OFFERS)), st.sampled_from(CHANNELS))
    contacts = draw(st.lists(st.builds(lambda age, at: made(age, *at), ages(now_ms), place), max_size=8))
    totals = draw(st.lists(st.tuples(place, st.lists(ages(now_ms), min_size=1, max_size=4)), max_size=3))
    return World(
        now_ms=now_ms,
        zone=draw(st.sampled_from(ZONES)),
        policies=draw(POLICIES),
        contacts=contacts,
        totals=[[made(age, *at) for age in several] for at, several in totals],
        priorities=draw(st.lists(st.integers(0, 100), min_size=4, max_size=4)),
        mandatory=draw(st.lists(st.integers(0, 4).map(lambda n: n == 0), min_size=4, max_size=4)),
        gold=draw(st.booleans()),
    )


# -- the oracle --------------------------------------------------------------------------------------------


def label(at_ms: int, zone: str, unit: str) -> tuple[int, ...]:
    """What a clock shows of an instant, as far as a period goes."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))
    if unit == "week":
        return at.isocalendar()[:2]
    return {
        "hour": (at.year, at.month, at.day, at.hour), "day": (at.year, at.month, at.day),
        "month": (at.year, at.month),
    }[unit]  # fmt: skip


class Oracle:
    """Says what the policies do to a candidate after some others were taken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.order = sorted(world.policies, key=lambda one: (-one["priority"], one["id"]))
        self.taken: list[Contact] = []

    def counts(self, window_ms: int | None, calendar: bool) -> Callable[[Contact], bool]:
        """Whether a contact is in a window."""
        now_ms, zone = self.world.now_ms, self.world.zone
        if window_ms is None:
            return lambda one: True
        if not calendar:
            return lambda one: now_ms - one.at_ms < window_ms
        unit = UNITS[window_ms]
        wanted = label(now_ms, zone, unit)
        return lambda one: one.at_ms > now_ms or label(one.at_ms, zone, unit) == wanted

    def count(self, inside: Callable[[Contact], bool], which: Callable[[Contact], bool]) -> tuple[int, bool]:
        """How many contacts, and whether a total at the edge was counted whole."""
        found, inexact = 0, False
        for one in (*self.world.contacts, *self.taken):
            found += which(one) and inside(one)
        for alike in self.world.totals:
            members = [inside(one) for one in alike]
            if which(alike[0]) and any(members):
                found += len(members)
                inexact = inexact or not all(members)
        return found, inexact

    def stands(self, scope: dict[str, Any], one: Contact) -> bool:
        kind = scope["scope"]
        if kind in ("global", "segment"):
            return True
        if kind in ("category", "subcategory"):
            category, sub = OFFERS[one.offer_id]
            return scope["id"] in (category, sub)
        return bool(scope["id"] == {
            "offer": one.offer_id, "channel": one.channel_id, "creative": one.creative_id,
        }[kind])  # fmt: skip

    def holds(self, policy: dict[str, Any], candidate: Contact) -> list[dict[str, Any]]:
        """The scopes of a policy that cover a candidate."""
        scopes = policy["scopes"] or [{"scope": "global"}]
        return [
            scope
            for scope in scopes
            if self.stands(scope, candidate) and (scope["scope"] != "segment" or self.world.gold)
        ]

    def compared(
        self, policy: dict[str, Any], scope: dict[str, Any], candidate: Contact
    ) -> list[tuple[int, bool, int]]:
        """(count, inexact, maximum) of each window of a policy in a scope; it blocks at the maximum."""
        config, calendar, kind = policy["config"], policy["calendar"], policy["kind"]
        channels = config.get("channels") or CHANNELS
        inside = self.counts(config.get("windowMs", config.get("cooldownMs")), calendar)
        category = OFFERS[candidate.offer_id][0]
        if kind == "frequency_cap":
            if candidate.channel_id not in channels:
                return []

            def counted(one: Contact) -> bool:
                return self.stands(scope, one) and one.channel_id in channels

            return [
                (*self.count(self.counts(window_ms, calendar), counted), config[name])
                for name, window_ms in {**WINDOWS, "total": None}.items()
                if name in config
            ]
        if kind == "mutual_exclusion":
            if candidate.offer_id not in config["offerIds"]:
                return []
            others = set(config["offerIds"]) - {candidate.offer_id}
            if "windowMs" not in config:
                return [(sum(one.offer_id in others for one in self.taken), False, 1)]
            return [(*self.count(inside, lambda one: one.offer_id in others), 1)]
        related: dict[str, Callable[[Contact], bool]] = {
            "cooldown": lambda one: self.stands(scope, one),
            "customer_total_cap": lambda one: True,
            "cross_channel_cap": lambda one: one.offer_id == candidate.offer_id,
            "category_suppression": lambda one: (
                self.stands(scope, one)
                if scope["scope"] in ("category", "subcategory")
                else OFFERS[one.offer_id][0] == category
            ),
        }
        if kind not in related:
            return []
        return [(*self.count(inside, related[kind]), config.get("max", 1))]

    def blocking(self, candidate: Contact) -> list[tuple[dict[str, Any], list[tuple[int, bool, int]]]]:
        """The policies that remove a candidate, the reason first, each with what it compared."""
        mandatory = dict(zip(OFFERS, self.world.mandatory, strict=True))[candidate.offer_id]
        lifted = any(one["kind"] == "allow_override" and self.holds(one, candidate) for one in self.order)
        found = []
        for policy in self.order:
            if policy["bypassable"] and lifted:
                continue
            if (
                policy["bypassable"]
                and mandatory
                and policy["kind"] not in ("frequency_cap", "cross_channel_cap")
            ):
                continue
            for scope in self.holds(policy, candidate):
                compared = self.compared(policy, scope, candidate)
                if any(count >= most for count, _, most in compared):
                    found.append((policy, compared))
        return found


def candidates(world: World) -> list[Contact]:
    """The candidates in the order of their rank, as the contacts that they would be."""
    rank = dict(zip(OFFERS, zip(world.mandatory, world.priorities, strict=True), strict=True))
    order = sorted(
        (not rank[offer][0], -rank[offer][1], offer, channel) for offer in OFFERS for channel in CHANNELS
    )
    return [
        Contact(world.now_ms, offer, f"{offer}.{channel}", channel, OFFERS[offer][0])
        for _, _, offer, channel in order
    ]


def verdicts(result: Decided) -> dict[str, CandidateTrace]:
    """What became of each creative."""
    assert result.trace is not None
    stage = result.trace.stages[2]
    assert isinstance(stage, FilterStage)
    return {one.creative_id: one for one in stage.candidates}


def check(verdict: CandidateTrace, stage: str, blocking: list[Any]) -> None:
    """A removal names the first policy that blocks, and the numbers that the oracle counted."""
    policy, compared = blocking[0]
    assert (verdict.stage, verdict.rule_id, verdict.reason) == (stage, policy["id"], policy["kind"])
    numbers = verdict.numbers
    if policy["kind"] == "cooldown":
        assert numbers["ageMs"] < numbers["cooldownMs"]
    elif policy["kind"] == "mutual_exclusion":
        assert numbers["excludedBy"] in set(policy["config"]["offerIds"]) - {verdict.offer_id}
    else:
        least = min(most - count for count, _, most in compared)
        shown = (numbers["count"], numbers.get("inexact", False), numbers.get("max", 1))
        assert shown in compared
        assert shown[2] - shown[0] == least


@settings(max_examples=600, deadline=None)
@given(world=worlds(), limit=st.integers(1, 9))
def test_every_verdict_and_number_is_what_looking_at_each_contact_says(world: World, limit: int) -> None:
    result = decided(tenant(documents(world)), world.customer(), world.now_ms, limit=limit)
    found, oracle = verdicts(result), Oracle(world)
    left = []
    for candidate in candidates(world):
        blocking = oracle.blocking(candidate)
        if blocking:
            check(found[candidate.creative_id], "contact_policy", blocking)
        else:
            left.append(candidate)
    assert result.after_contact_policy == len(left)
    for candidate in left:
        verdict = found[candidate.creative_id]
        if len(oracle.taken) == limit:
            assert verdict.verdict == "not_reached"
            continue
        blocking = oracle.blocking(candidate)
        if blocking:
            check(verdict, "rank", blocking)
        else:
            oracle.taken.append(candidate)
            assert verdict.verdict == "chosen"
    assert [one.creative_id for one in result.decisions] == [one.creative_id for one in oracle.taken]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), world=worlds())
def test_the_order_of_catalogue_and_contacts_changes_nothing(data: st.DataObject, world: World) -> None:
    plain = documents(world)
    shuffled = {
        kind: data.draw(st.permutations(bodies))
        for kind, bodies in data.draw(st.permutations(list(plain.items())))
    }
    customer = world.customer()
    moved = msgspec.structs.replace(
        customer,
        contacts=data.draw(st.permutations(customer.contacts)),
        totals=data.draw(st.permutations(customer.totals)),
    )
    first = decided(tenant(plain), customer, world.now_ms)
    second = decided(tenant(shuffled), moved, world.now_ms)
    assert first.decisions == second.decisions
    assert first.removals == second.removals
    assert verdicts(first) == verdicts(second)
