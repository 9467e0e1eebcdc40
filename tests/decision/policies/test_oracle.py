"""Contact policies against the oracle, over random histories: every verdict and every number."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.decision import Decided
from app.decision.state import Contact
from app.decision.trace import CandidateTrace, FilterStage
from tests.decision.building import decided, tenant
from tests.decision.policies.oracle import Oracle
from tests.decision.policies.worlds import CHANNELS, OFFERS, World, documents, worlds


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


@settings(max_examples=300)
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


@settings(max_examples=80)
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
