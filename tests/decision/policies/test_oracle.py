"""Contact policies against an oracle that counts contacts one by one, over random histories."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.decide import CustomerView
from app.decision.state import Contact
from tests.decision.building import NOW_MS, decided, tenant

OFFERS = {"o1": ("a", None), "o2": ("a", "a1"), "o3": ("b", None), "o4": ("b", None)}
CHANNELS = ["c1", "c2"]
PARENT = {"a1": "a"}
HOUR = 3_600_000
WINDOWS = {"perHour": HOUR, "perDay": 24 * HOUR, "perWeek": 168 * HOUR, "perMonth": 720 * HOUR}


def documents(policies: list[dict[str, Any]], priorities: list[int]) -> dict[str, list[dict[str, Any]]]:
    """A catalogue in which every offer has a creative on every channel."""
    return {
        "categories": [
            {"id": "a", "name": "a"},
            {"id": "b", "name": "b"},
            {"id": "a1", "name": "a1", "parentId": "a"},
        ],
        "channels": [{"id": one, "name": one, "type": "web"} for one in CHANNELS],
        "offers": [
            {"id": offer, "name": offer, "categoryId": category, "subCategoryId": sub, "priority": priority}
            for (offer, (category, sub)), priority in zip(OFFERS.items(), priorities, strict=True)
        ],
        "creatives": [
            {"id": f"{offer}.{channel}", "name": "x", "offerId": offer, "channelId": channel}
            for offer in OFFERS
            for channel in CHANNELS
        ],
        "contact-policies": policies,
        "decision-flows": [
            {"id": "f", "name": "f", "status": "active", "ranking": {"oneCreativePerOffer": False}}
        ],
    }


SCOPE = st.sampled_from(
    [{"scope": "global"}]
    + [{"scope": "offer", "id": one} for one in OFFERS]
    + [{"scope": "category", "id": one} for one in ("a", "b", "a1")]
    + [{"scope": "subcategory", "id": "a1"}]
    + [{"scope": "channel", "id": one} for one in CHANNELS]
    + [{"scope": "creative", "id": one} for one in ("o1.c1", "o2.c2")]
)
CAP = st.dictionaries(st.sampled_from([*WINDOWS, "total"]), st.integers(0, 4), min_size=1).flatmap(
    lambda config: st.sampled_from([[], ["c1"], ["c1", "c2"]]).map(
        lambda channels: {"kind": "frequency_cap", "config": {**config, "channels": channels}}
    )
)
#: Ages around the edges of the windows, where mistakes live.
EDGES = sorted({edge + by for edge in (0, 1_000, *WINDOWS.values()) for by in (-1, 0, 1)})
COOLDOWN = st.sampled_from([1, 1_000, HOUR, 24 * HOUR]).map(
    lambda length: {"kind": "cooldown", "config": {"cooldownMs": length}}
)
POLICIES = st.lists(
    st.tuples(CAP | COOLDOWN, st.lists(SCOPE, max_size=3), st.integers(0, 3)), min_size=1, max_size=5
).map(
    lambda drawn: [
        {"id": f"p{i}", "name": "p", **body, "scopes": scopes, "priority": priority}
        for i, (body, scopes, priority) in enumerate(drawn)
    ]
)
CONTACTS = st.lists(
    st.tuples(
        st.sampled_from(EDGES) | st.integers(-10, 40 * 24 * HOUR),
        st.sampled_from(sorted(OFFERS)),
        st.sampled_from(CHANNELS),
    ),
    max_size=12,
).map(
    lambda drawn: [
        Contact(NOW_MS - age_ms, offer, f"{offer}.{channel}", channel, OFFERS[offer][0])
        for age_ms, offer, channel in drawn
    ]
)


def in_scope(scope: dict[str, str], one: Contact) -> bool:
    """Whether a contact (or a candidate, written as one) is in a scope: straight from the documents."""
    kind = scope["scope"]
    if kind == "global":
        return True
    if kind in ("category", "subcategory"):
        category, sub = OFFERS[one.offer_id]
        return scope["id"] in (category, sub, PARENT.get(sub or ""))
    return scope["id"] == {
        "offer": one.offer_id, "channel": one.channel_id, "creative": one.creative_id,
    }[kind]  # fmt: skip


def blocks(policy: dict[str, Any], candidate: Contact, contacts: list[Contact]) -> bool:
    """Whether a policy blocks a candidate after these contacts."""
    config = policy["config"]
    channels = config.get("channels") or CHANNELS
    if candidate.channel_id not in channels:
        return False
    for scope in policy["scopes"] or [{"scope": "global"}]:
        if not in_scope(scope, candidate):
            continue
        ages = [NOW_MS - one.at_ms for one in contacts if in_scope(scope, one) and one.channel_id in channels]
        if policy["kind"] == "cooldown":
            if any(age < config["cooldownMs"] for age in ages):
                return True
            continue
        for name, window_ms in {**WINDOWS, "total": None}.items():
            counted = [age for age in ages if window_ms is None or age < window_ms]
            if name in config and len(counted) >= config[name]:
                return True
    return False


@settings(max_examples=400, deadline=None)
@given(
    policies=POLICIES,
    contacts=CONTACTS,
    priorities=st.lists(st.integers(0, 100), min_size=4, max_size=4),
    limit=st.integers(1, 9),
)
def test_decisions_are_those_that_counting_one_by_one_allows(
    policies: list[dict[str, Any]], contacts: list[Contact], priorities: list[int], limit: int
) -> None:
    result = decided(
        tenant(documents(policies, priorities)), CustomerView("ann", contacts=contacts), limit=limit
    )
    rank = dict(zip(OFFERS, priorities, strict=True))
    order = sorted((-rank[offer], offer, channel) for offer in OFFERS for channel in CHANNELS)
    wanted: list[Contact] = []
    passed = 0
    for _, offer, channel in order:
        candidate = Contact(NOW_MS, offer, f"{offer}.{channel}", channel, OFFERS[offer][0])
        if any(blocks(one, candidate, contacts) for one in policies):
            continue
        passed += 1
        if len(wanted) < limit and not any(blocks(one, candidate, contacts + wanted) for one in policies):
            wanted.append(candidate)
    assert [one.creative_id for one in result.decisions] == [one.creative_id for one in wanted]
    assert result.after_contact_policy == passed


@settings(max_examples=100, deadline=None)
@given(policies=POLICIES, contacts=CONTACTS, limit=st.integers(1, 9))
def test_the_numbers_of_a_removal_show_that_it_is_blocked(
    policies: list[dict[str, Any]], contacts: list[Contact], limit: int
) -> None:
    result = decided(
        tenant(documents(policies, [4, 3, 2, 1])), CustomerView("ann", contacts=contacts), limit=limit
    )
    assert result.trace is not None
    for verdict in result.trace.stages[2].candidates:  # type: ignore[union-attr]
        if verdict.verdict == "removed":
            numbers = verdict.numbers
            if verdict.reason == "cooldown":
                assert numbers["ageMs"] < numbers["cooldownMs"]
            else:
                assert numbers["count"] >= numbers["max"]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), contacts=CONTACTS, policies=POLICIES)
def test_the_order_of_the_catalogue_changes_nothing(
    data: st.DataObject, contacts: list[Contact], policies: list[dict[str, Any]]
) -> None:
    plain = documents(policies, [50, 50, 50, 50])
    shuffled = {
        kind: data.draw(st.permutations(bodies))
        for kind, bodies in data.draw(st.permutations(list(plain.items())))
    }
    customer = CustomerView("ann", contacts=contacts)
    moved = CustomerView("ann", contacts=data.draw(st.permutations(contacts)))
    first, second = decided(tenant(plain), customer), decided(tenant(shuffled), moved)
    assert first.decisions == second.decisions
    assert first.removals == second.removals
    assert [one.creative_id for one in first.decisions] == sorted(one.creative_id for one in first.decisions)
