"""Random customers under random contact policies, at moments where calendars are awkward."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from app.decision.decide import CustomerView
from app.decision.state import Contact, ContactTotal, Profile
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
