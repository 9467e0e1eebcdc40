"""Caps, case by case: windows to the millisecond, scopes, precedence, the second pass."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.state import Contact
from tests.decision.building import (
    NOW_MS,
    contact,
    contacted,
    creatives,
    decided,
    flow,
    policy,
    shop,
    verdict,
)

HOUR = 3_600_000
DAY = 24 * HOUR
MAIL = ["card-mail", "house-mail", "car-mail"]


@pytest.mark.parametrize(
    ("config", "window_ms"),
    [
        ({"perHour": 1}, HOUR),
        ({"perDay": 1}, DAY),
        ({"perWeek": 1}, 7 * DAY),
        ({"perMonth": 1}, 30 * DAY),
        ({"max": 1, "windowMs": 12_345}, 12_345),
    ],
)
def test_a_contact_counts_until_it_is_exactly_one_window_old(config: dict[str, Any], window_ms: int) -> None:
    longer = {**policy("frequency_cap", {"total": 1_000}), "id": "longer"}
    for others in ([], [longer]):
        cap = policy("frequency_cap", config, ("offer", "card"))
        catalogue = shop(contact_policies=[cap, *others])
        for age_ms, wanted in (
            (window_ms + 1, MAIL),
            (window_ms, MAIL),
            (window_ms - 1, MAIL[1:]),
            (0, MAIL[1:]),
            (-1, MAIL[1:]),
        ):
            customer = contacted(contact(age_ms))
            assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted, age_ms


def test_a_cooldown_ends_exactly_when_it_is_over() -> None:
    catalogue = shop(contact_policies=[policy("cooldown", {"cooldownMs": 500}, ("offer", "card"))])
    for age_ms, wanted in ((500, MAIL), (499, MAIL[1:]), (-5, MAIL[1:])):
        customer = contacted(contact(age_ms), contact(10_000))
        assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted, age_ms


def test_total_never_forgets() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"total": 2}, ("offer", "card"))])
    old = [contact(399 * DAY), contact(398 * DAY)]
    assert "card-mail" not in creatives(decided(catalogue, contacted(*old), channel_id="mail"))
    assert "card-mail" in creatives(decided(catalogue, contacted(old[0]), channel_id="mail"))


def test_the_fullest_of_several_windows_blocks_and_is_the_one_explained() -> None:
    catalogue = shop(
        contact_policies=[policy("frequency_cap", {"perHour": 2, "perDay": 3}, ("offer", "card"))]
    )
    for ages, count, most, window_ms in (
        ((1, 2), 2, 2, HOUR),
        ((HOUR, HOUR + 1, HOUR + 2), 3, 3, DAY),
    ):
        result = decided(catalogue, contacted(*map(contact, ages)), channel_id="mail")
        assert result.trace is not None
        verdict = result.trace.stages[2].candidates[0]  # type: ignore[union-attr]
        assert (verdict.offer_id, verdict.stage, verdict.rule_id) == (
            "card",
            "contact_policy",
            "frequency_cap",
        )
        assert verdict.numbers == {"count": count, "max": most, "windowMs": window_ms}


@pytest.mark.parametrize(
    ("scopes", "past", "wanted"),
    [
        ([], "car-site", []),
        ([("global", None)], "car-site", []),
        ([("channel", "mail")], "card-mail", []),
        ([("channel", "mail")], "card-site", MAIL),
        ([("offer", "card")], "card-site", MAIL[1:]),
        ([("creative", "card-mail")], "card-site", MAIL),
        ([("creative", "card-mail")], "card-mail", MAIL[1:]),
        ([("category", "loans")], "house-mail", ["card-mail"]),
        ([("category", "loans")], "card-mail", MAIL),
        ([("subcategory", "home")], "house-mail", ["card-mail", "car-mail"]),
        ([("subcategory", "home")], "car-mail", MAIL),
        ([("category", "home")], "house-mail", ["card-mail", "car-mail"]),
        ([("placement", "hero")], "card-mail", MAIL),
        ([("offer", "card"), ("offer", "car")], "card-mail", ["house-mail", "car-mail"]),
        ([("offer", "card"), ("category", "loans")], "car-mail", ["card-mail"]),
    ],
)
def test_each_scope_counts_its_own_contacts(scopes: list[Any], past: str, wanted: list[str]) -> None:
    catalogue = shop(
        contact_policies=[policy("frequency_cap", {"total": 4}, *scopes)],
        creatives=[{"id": "car-site", "name": "s", "offerId": "car", "channelId": "site"}],
    )
    customer = contacted(*[contact(age_ms, past) for age_ms in (4, 3, 2, 1)])
    assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted


def test_a_placement_scope_counts_contacts_there() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"total": 1}, ("placement", "hero"))])
    here, elsewhere = contact(1, "house-site", "hero"), contact(1, "house-site", "foot")
    assert creatives(decided(catalogue, contacted(here), channel_id="site")) == ["house-site"]
    assert creatives(decided(catalogue, contacted(elsewhere), channel_id="site")) == [
        "card-site",
        "house-site",
    ]


def test_channels_of_a_cap_restrict_what_counts_and_what_is_blocked() -> None:
    cap = policy("frequency_cap", {"perDay": 1, "channels": ["mail"]}, ("offer", "card"))
    catalogue = shop(contact_policies=[cap])
    by_mail, on_site = contacted(contact(1, "card-mail")), contacted(contact(1, "card-site"))
    assert creatives(decided(catalogue, by_mail, channel_id="mail")) == MAIL[1:]
    assert "card-site" in creatives(decided(catalogue, by_mail, channel_id="site"))
    assert creatives(decided(catalogue, on_site, channel_id="mail")) == MAIL


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        ("card-site", ["card-site", "card-letter"]),
        ("card-letter", ["card-letter", "card-site"]),
    ],
)
def test_a_candidate_of_another_channel_leaves_the_room_of_a_cap_with_channels(
    first: str, wanted: list[str]
) -> None:
    """Of two creatives by mail and one on the site, the cap allows one by mail, whichever comes first."""
    cap = policy("frequency_cap", {"perDay": 1, "channels": ["mail"]}, ("offer", "card"))
    channels = {"card-site": "site", "card-mail": "mail", "card-letter": "mail"}
    catalogue = shop(
        contact_policies=[cap],
        creatives=[
            {
                "id": one,
                "name": one,
                "offerId": "card",
                "channelId": channel,
                "weight": 90 - 9 * (one != first),
            }
            for one, channel in channels.items()
        ],
        decision_flows=flow(
            inventory={"scope": "offers", "ids": ["card"]}, ranking={"oneCreativePerOffer": False}
        ),
    )
    result = decided(catalogue)
    assert sorted(creatives(result)) == sorted(wanted)
    assert result.removals == {"frequency_cap:frequency_cap": 1}


def test_one_left_of_three_gives_one_within_a_decision() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"perDay": 3}, ("channel", "mail"))])
    result = decided(catalogue, contacted(contact(1), contact(2)), channel_id="mail")
    assert creatives(result) == ["card-mail"]
    assert result.after_contact_policy == 3
    assert result.removals == {"frequency_cap:frequency_cap": 2}
    assert result.trace is not None
    verdicts = result.trace.stages[2].candidates  # type: ignore[union-attr]
    assert verdicts[1].stage == "rank"
    assert verdicts[1].numbers == {"count": 3, "max": 3, "windowMs": DAY, "takenInThisDecision": 1}


def test_one_blocked_in_the_second_pass_makes_room_for_the_next() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"perDay": 1}, ("category", "loans"))])
    result = decided(catalogue, channel_id="mail", limit=2)
    assert creatives(result) == ["card-mail", "house-mail"]
    higher = shop(
        contact_policies=[policy("frequency_cap", {"perDay": 1}, ("category", "loans"))],
        offers=[{"id": "card", "name": "Card", "categoryId": "cards", "priority": 1}],
    )
    assert creatives(decided(higher, channel_id="mail", limit=2)) == ["house-mail", "card-mail"]


def test_a_decision_that_reports_its_own_impressions_still_counts_within_the_answer() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"perDay": 1})])
    assert creatives(decided(catalogue, channel_id="site")) == ["card-site"]


def test_a_cooldown_lets_one_through_within_a_decision() -> None:
    catalogue = shop(contact_policies=[policy("cooldown", {"cooldownMs": 1}, ("category", "loans"))])
    assert creatives(decided(catalogue, channel_id="mail")) == ["card-mail", "house-mail"]


def test_the_policy_of_highest_priority_is_the_reason() -> None:
    low = {**policy("frequency_cap", {"total": 1}), "id": "low", "priority": 10}
    high = {**policy("cooldown", {"cooldownMs": 100}), "id": "high", "priority": 90}
    result = decided(shop(contact_policies=[low, high]), contacted(contact(60)), channel_id="mail")
    assert result.removals == {"cooldown:high": 3}
    assert result.trace is not None
    verdict = result.trace.stages[2].candidates[0]  # type: ignore[union-attr]
    assert verdict.numbers == {"ageMs": 60, "cooldownMs": 100}


@pytest.mark.parametrize(
    ("kind", "bypassable", "shown"),
    [("frequency_cap", True, False), ("cooldown", True, True), ("cooldown", False, False)],
)
def test_mandatory_offers_pass_only_what_can_be_bypassed(kind: str, bypassable: bool, shown: bool) -> None:
    config = {"total": 1} if kind == "frequency_cap" else {"cooldownMs": 100}
    mandatory = {"id": "car", "name": "Car", "categoryId": "loans", "mandatory": True}
    catalogue = shop(offers=[mandatory], contact_policies=[policy(kind, config, bypassable=bypassable)])
    result = decided(catalogue, contacted(contact(1, "house-mail")), channel_id="mail")
    assert creatives(result) == (["car-mail"] if shown else [])


def test_a_cap_of_none_blocks_a_customer_never_contacted() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"perDay": 0}, ("offer", "card"))])
    assert creatives(decided(catalogue, channel_id="mail")) == MAIL[1:]


@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
def test_only_active_policies_hold(status: str) -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"total": 0}, status=status)])
    assert creatives(decided(catalogue, channel_id="mail")) == MAIL


def test_a_flow_holds_the_policies_it_lists() -> None:
    flow = {"id": "flow", "name": "F", "status": "active", "contactPolicies": {"policyIds": ["two"]}}
    one = {**policy("frequency_cap", {"total": 0}, ("offer", "card")), "id": "one"}
    two = {**policy("frequency_cap", {"total": 0}, ("offer", "car")), "id": "2", "key": "two"}
    catalogue = shop(contact_policies=[one, two], decision_flows=[flow])
    assert creatives(decided(catalogue, channel_id="mail")) == ["card-mail", "house-mail"]


def test_contacts_without_creative_or_with_unknown_ids_count_where_they_can() -> None:
    catalogue = shop(contact_policies=[policy("frequency_cap", {"total": 1}, ("category", "loans"))])
    bare = Contact(NOW_MS - 1, "gone", "", "", "home")
    assert creatives(decided(catalogue, CustomerView("ann", contacts=[bare]), channel_id="mail")) == [
        "card-mail"
    ]


@pytest.mark.parametrize(("age_ms", "wanted"), [(500, MAIL), (499, []), (-1, [])])
def test_a_customers_total_counts_every_contact_wherever_it_was(age_ms: int, wanted: list[str]) -> None:
    catalogue = shop(contact_policies=[policy("customer_total_cap", {"max": 2, "windowMs": 500})])
    customer = contacted(contact(1, "house-site", "hero"), contact(age_ms, "card-site"))
    assert creatives(decided(catalogue, customer, channel_id="mail", limit=1)) == wanted[:1]


def test_the_scopes_of_a_customers_total_say_whom_it_blocks_not_what_it_counts() -> None:
    cap = policy("customer_total_cap", {"max": 2, "windowMs": 500}, ("category", "loans"))
    catalogue = shop(contact_policies=[cap])
    # The card taken first uses up the room that is left for loans.
    assert creatives(decided(catalogue, contacted(contact(1)), channel_id="mail")) == ["card-mail"]
    result = decided(catalogue, contacted(contact(1), contact(2)), channel_id="mail")
    assert creatives(result) == ["card-mail"]
    assert verdict(result, "house-mail").numbers == {"count": 2, "max": 2, "windowMs": 500}
