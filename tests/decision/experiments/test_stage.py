"""Experiments in a decision: which creative, which scoring, and what is said of it."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.decide import CustomerView, Decided, PlacementRequest
from app.decision.decision import ExperimentShown
from app.decision.state import Profile
from tests.decision.building import NOW_MS, SHOP, creatives, decided, policy, shop
from tests.decision.experiments.building import (
    OFFERS,
    RACING,
    assigned_before,
    between_creatives,
    between_scorings,
    compiled,
    customer_in,
    experimenting,
)

ISO = datetime.datetime.fromtimestamp(NOW_MS / 1000, datetime.UTC).isoformat


def on_mail(result: Decided) -> list[str]:
    """The card's mails among the decisions."""
    return [one for one in creatives(result) if one.startswith("card-mail")]


@pytest.mark.parametrize(("variant", "creative"), [("a", "card-mail"), ("b", "card-mail-b")])
def test_a_customer_gets_the_creative_of_its_variant_and_is_told_so(variant: str, creative: str) -> None:
    catalogue = experimenting(between_creatives())
    customer = customer_in(compiled(catalogue), variant)
    result = decided(catalogue, customer, channel_id="mail")
    assert creatives(result) == [creative, "house-mail", "car-mail"]
    shown = ExperimentShown("exp", variant, 50)
    assert [one.experiment for one in result.decisions] == [shown, None, None]
    assert result.assigned == {"exp": variant}
    assert result.experiment is None
    assert result.removals == {"experiment:exp": 2}
    assert result.after_contact_policy == 5
    assert result.trace is not None
    rows = [one for one in result.trace.stages[2].candidates if one.stage == "experiment"]  # type: ignore[union-attr]
    assert {row.creative_id for row in rows} == {"card-mail", "card-mail-b", "card-mail-c"} - {creative}
    assert {(row.reason, row.rule_id, *row.numbers.items()) for row in rows} == {
        ("experiment", "exp", ("variant", variant))
    }
    assert len(result.trace.stages[4].filtered) == 2  # type: ignore[union-attr]
    assert result.trace.stages[2].filtered == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "at_ms", "runs"),
    [
        ({}, NOW_MS, True),
        ({"status": "draft"}, NOW_MS, False),
        ({"status": "paused"}, NOW_MS, False),
        ({"status": "archived"}, NOW_MS, False),
        ({"startAt": ISO()}, NOW_MS, True),
        ({"startAt": ISO()}, NOW_MS - 1, False),
        ({"endAt": ISO()}, NOW_MS - 1, True),
        ({"endAt": ISO()}, NOW_MS, False),
    ],
)
def test_only_an_active_experiment_within_its_time_assigns(
    fields: dict[str, Any], at_ms: int, runs: bool
) -> None:
    customer = customer_in(compiled(experimenting(between_creatives())), "b")
    result = decided(experimenting(between_creatives(**fields)), customer, at_ms, channel_id="mail")
    assert on_mail(result) == (["card-mail-b"] if runs else ["card-mail"])
    assert bool(result.assigned) is runs


@pytest.mark.parametrize(
    ("removing", "expected"),
    [
        # The variant's creative is gone: none of the other variants stands in, the one outside does.
        ({"exclude_creatives": frozenset({"card-mail-b"})}, ["card-mail-c"]),
        ({"exclude_creatives": frozenset({"card-mail-b", "card-mail-c"})}, []),
        ({"exclude_creatives": frozenset({"card-mail-c"})}, ["card-mail-b"]),
    ],
)
def test_no_other_variant_stands_in(removing: dict[str, Any], expected: list[str]) -> None:
    catalogue = experimenting(between_creatives())
    customer = customer_in(compiled(catalogue), "b")
    result = decided(catalogue, customer, channel_id="mail", **removing)
    assert on_mail(result) == expected
    assert result.assigned == ({"exp": "b"} if "card-mail-b" in expected else {})


def test_what_a_policy_removed_is_not_replaced() -> None:
    catalogue = experimenting(
        between_creatives(),
        contact_policies=[policy("frequency_cap", {"perDay": 0}, ("creative", "card-mail-b"))],
    )
    result = decided(catalogue, customer_in(compiled(catalogue), "b"), channel_id="mail")
    assert on_mail(result) == ["card-mail-c"]
    assert result.assigned == {}
    assert decided(catalogue, customer_in(compiled(catalogue), "a"), channel_id="mail").assigned == {
        "exp": "a"
    }


def test_creatives_outside_stay_where_the_variant_cannot_be_shown() -> None:
    catalogue = experimenting(between_creatives())
    customer = customer_in(compiled(catalogue), "b")
    assert creatives(decided(catalogue, customer, channel_id="site")) == ["card-site", "house-site"]
    closed = CustomerView(customer.customer_id, profile=Profile(consent={"mail": "revoked"}))
    result = decided(catalogue, closed)
    assert creatives(result) == ["card-site", "house-site"]
    assert (result.assigned, [one.experiment for one in result.decisions]) == ({}, [None, None])


def test_each_shelf_and_channel_stands_for_itself() -> None:
    banners = [
        {"id": "card-hero-b", "name": "b", "offerId": "card", "channelId": "site", "placementId": "hero"},
        {"id": "card-list", "name": "l", "offerId": "card", "channelId": "site", "placementId": "list"},
    ]
    variants = [
        {"key": "a", "weight": 50, "creativeId": "card-site"},
        {"key": "b", "weight": 50, "creativeId": "card-hero-b"},
    ]
    catalogue = experimenting(
        between_creatives(variants=variants),
        creatives=banners,
        placements=[*SHOP["placements"], {"id": "list", "name": "List", "channelId": "site"}],
    )
    customer = customer_in(compiled(catalogue), "b")
    result = decided(
        catalogue, customer, placements=(PlacementRequest("hero", 1), PlacementRequest("list", 1)),
        deduplicate=False,
    )  # fmt: skip
    assert [(one.placement_id, one.creative_id) for one in result.decisions] == [
        ("hero", "card-hero-b"), ("list", "card-list"),
    ]  # fmt: skip
    assert [one.experiment is None for one in result.decisions] == [False, True]


def test_who_is_held_out_gets_control_among_the_others_and_counts_for_nothing() -> None:
    catalogue = experimenting(between_creatives(holdoutPercent=50))
    customer = customer_in(compiled(catalogue), None)
    result = decided(catalogue, customer, channel_id="mail")
    assert on_mail(result) == ["card-mail"]
    assert (result.assigned, result.decisions[0].experiment) == ({}, None)
    # `card-mail-c` was a candidate as ever; `card-mail-b` exists for the experiment only.
    assert result.removals == {"experiment:exp": 1, "one_creative_per_offer": 1}


def test_an_assignment_that_sticks_is_not_written_again() -> None:
    catalogue = experimenting(between_creatives())
    customer = customer_in(compiled(catalogue), "a")
    result = decided(catalogue, assigned_before(customer, "exp", "b"), channel_id="mail")
    assert on_mail(result) == ["card-mail-b"]
    assert result.assigned == {}
    shown = result.decisions[0].experiment
    assert shown is not None
    assert (shown.variant, shown.weight) == ("b", 50)


def test_only_what_is_shown_is_assigned() -> None:
    catalogue = experimenting(between_creatives())
    result = decided(catalogue, customer_in(compiled(catalogue), "b"), exclude_offers=frozenset({"card"}))
    assert result.assigned == {}
    low = experimenting(between_creatives(offerId="car", variants=[
        {"key": "a", "weight": 50, "creativeId": "car-mail"},
        {"key": "b", "weight": 50, "creativeId": "car-2"},
    ]), creatives=[{"id": "car-2", "name": "c", "offerId": "car", "channelId": "mail"}])  # fmt: skip
    assert decided(low, CustomerView("ann"), channel_id="mail", limit=2).assigned == {}


@pytest.mark.parametrize(
    ("variant", "order", "method"),
    [
        ("champion", ["card-mail", "house-mail", "car-mail"], "priority_weighted"),
        ("challenger", ["car-mail", "house-mail", "card-mail"], "expression"),
    ],
)
def test_a_variant_replaces_the_scoring_of_the_flow_that_names_it(
    variant: str, order: list[str], method: str
) -> None:
    catalogue = experimenting(between_scorings(), decision_flows=[RACING])
    customer = customer_in(compiled(catalogue, "race"), variant)
    result = decided(catalogue, customer, channel_id="mail")
    assert creatives(result) == order
    assert {one.score_explanation["method"] for one in result.decisions} == {method}
    assert {one.experiment for one in result.decisions} == {ExperimentShown("race", variant, 50)}
    assert (result.experiment, result.assigned) == (ExperimentShown("race", variant, 50), {"race": variant})


def test_another_flow_is_not_in_the_experiment_nor_one_that_is_held_out() -> None:
    named = experimenting(between_scorings(holdoutPercent=50), decision_flows=[RACING])
    held = customer_in(compiled(named, "race"), None)
    other = experimenting(between_scorings())
    challenger = customer_in(compiled(other, "race"), "challenger")
    for catalogue, customer in ((named, held), (other, challenger)):
        result = decided(catalogue, customer, channel_id="mail")
        assert creatives(result)[0] == "card-mail"
        assert (result.assigned, result.experiment, result.decisions[0].experiment) == ({}, None, None)


def test_a_decision_in_two_experiments_shows_that_of_its_creative_and_belongs_to_both() -> None:
    catalogue = experimenting(between_scorings(), between_creatives(), decision_flows=[RACING])
    for number in range(50):
        result = decided(catalogue, CustomerView(f"c{number}"), channel_id="mail")
        by_creative = {one.creative_id: one.experiment for one in result.decisions}
        mail = next(one for one in by_creative if one.startswith("card-mail"))
        assert {name: one and one.experiment_id for name, one in by_creative.items()} == {
            mail: "exp", "house-mail": "race", "car-mail": "race",
        }  # fmt: skip
        assert set(result.assigned) == {"exp", "race"}
        assert result.experiment is not None


def test_nothing_decided_is_nothing_assigned() -> None:
    catalogue = experimenting(between_scorings(), decision_flows=[RACING])
    everything = frozenset({"card", "house", "car"})
    assert decided(catalogue, CustomerView("ann"), exclude_offers=everything).assigned == {}


@given(customer_id=st.text(min_size=1))
def test_an_unrelated_experiment_changes_nobody(customer_id: str) -> None:
    customer = CustomerView(customer_id)
    other = between_creatives(id="other", key="other", offerId="house", variants=[
        {"key": "a", "weight": 50, "creativeId": "house-mail"},
        {"key": "b", "weight": 50, "creativeId": "house-2"},
    ])  # fmt: skip
    house = {"id": "house-2", "name": "2", "offerId": "house", "channelId": "mail"}
    alone = decided(experimenting(between_creatives(), creatives=[house]), customer)
    both = decided(experimenting(between_creatives(), other, creatives=[house]), customer)
    assert alone.assigned.items() <= both.assigned.items()
    of_card = [one for one in alone.decisions if one.offer_id == "card"]
    assert of_card == [one for one in both.decisions if one.offer_id == "card"]


@given(customer_id=st.text(min_size=1), status=st.sampled_from(["draft", "paused", "archived"]))
def test_without_the_experiment_the_result_is_what_it_was(customer_id: str, status: str) -> None:
    customer = CustomerView(customer_id)
    never = decided(experimenting(), customer)
    over = decided(experimenting(between_creatives(status=status)), customer)
    assert (never.decisions, never.removals, never.assigned) == (over.decisions, over.removals, over.assigned)


@given(customer_id=st.text(min_size=1), seed=st.integers(0, 1_000))
def test_the_order_of_the_catalogue_changes_nothing(customer_id: str, seed: int) -> None:
    documents = [
        *SHOP["creatives"],
        {"id": "card-mail-b", "name": "b", "offerId": "card", "channelId": "mail"},
    ]
    shuffled = random.Random(seed).sample(documents, len(documents))
    results = [
        decided(
            shop(offers=OFFERS, creatives=each, experiments=[between_creatives()]), CustomerView(customer_id)
        )
        for each in (documents, shuffled)
    ]
    assert results[0].decisions == results[1].decisions
    assert (results[0].removals, results[0].assigned) == (results[1].removals, results[1].assigned)
