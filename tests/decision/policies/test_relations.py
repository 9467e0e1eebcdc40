"""cross_channel_cap, category_suppression and mutual_exclusion, and what a decision adds to them."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView, DecisionRequest, decide
from app.decision.policies.history import History
from app.decision.policies.relation_counts import RelationState
from app.decision.state import Contact
from tests.decision.building import NOW_MS, contact, contacted, creatives, decided, policy, shop, verdict

MAIL = ["card-mail", "house-mail", "car-mail"]
CAP = {"max": 2, "windowMs": 500}
PAIR = {"offerIds": ["card", "car"], "windowMs": 500}


@pytest.mark.parametrize(
    ("past", "wanted"),
    [
        ([(0, "card-mail"), (499, "card-site")], MAIL[1:]),
        ([(0, "card-mail"), (500, "card-site")], MAIL),
        ([(0, "card-mail"), (1, "car-mail")], MAIL),
        ([(0, "house-site"), (1, "house-site"), (2, "car-mail")], ["card-mail", "car-mail"]),
        ([(-9, "card-site"), (0, "card-site")], MAIL[1:]),
    ],
)
def test_a_cross_channel_cap_counts_each_offer_over_all_channels(past: list[Any], wanted: list[str]) -> None:
    catalogue = shop(contact_policies=[policy("cross_channel_cap", CAP)])
    customer = contacted(*[contact(*one) for one in past])
    assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted


def test_the_scopes_of_a_cross_channel_cap_say_whom_it_blocks_not_what_it_counts() -> None:
    catalogue = shop(contact_policies=[policy("cross_channel_cap", CAP, ("channel", "mail"))])
    customer = contacted(contact(1, "card-site"), contact(2, "card-site"))
    assert creatives(decided(catalogue, customer, channel_id="mail")) == MAIL[1:]
    assert "card-site" in creatives(decided(catalogue, customer, channel_id="site"))


def test_a_cross_channel_cap_counts_what_this_decision_took() -> None:
    flow = {"id": "flow", "name": "F", "status": "active", "ranking": {"oneCreativePerOffer": False}}
    catalogue = shop(contact_policies=[policy("cross_channel_cap", CAP)], decision_flows=[flow])
    result = decided(catalogue, contacted(contact(1, "card-site")))
    assert creatives(result) == ["card-mail", "house-mail", "house-site", "car-mail"]
    removed = verdict(result, "card-site")
    assert (removed.stage, removed.reason, removed.rule_id) == (
        "rank",
        "cross_channel_cap",
        "cross_channel_cap",
    )
    assert removed.numbers == {
        "offerId": "card", "count": 2, "max": 2, "windowMs": 500, "takenInThisDecision": 1,
    }  # fmt: skip


def test_a_cross_channel_cap_of_none_blocks_everything_in_scope() -> None:
    cap = policy("cross_channel_cap", {"max": 0, "windowMs": 1}, ("category", "loans"))
    assert creatives(decided(shop(contact_policies=[cap]), channel_id="mail")) == ["card-mail"]


@pytest.mark.parametrize(
    ("scopes", "past", "wanted"),
    [
        # In the scope of a category: that category, its subcategories' offers included.
        ([("category", "loans")], (499, "house-site"), ["card-mail"]),
        ([("category", "loans")], (500, "house-site"), ["card-mail", "house-mail"]),
        ([("category", "loans")], (1, "card-mail"), ["card-mail", "house-mail"]),
        ([("subcategory", "home")], (1, "house-site"), ["card-mail", "car-mail"]),
        ([("subcategory", "home")], (1, "car-mail"), MAIL),
        # In any other: the category of each candidate's offer. What is taken closes its own, too.
        ([], (499, "car-mail"), ["card-mail"]),
        ([], (500, "car-mail"), ["card-mail", "house-mail"]),
        ([("offer", "house")], (1, "car-mail"), ["card-mail", "car-mail"]),
        ([("offer", "house")], (1, "card-mail"), MAIL),
        ([("channel", "mail")], (1, "car-mail"), ["card-mail"]),
        ([("channel", "site")], (1, "car-mail"), MAIL),
    ],
)
def test_a_category_is_left_alone_after_any_of_its_offers(
    scopes: list[Any], past: tuple[int, str], wanted: list[str]
) -> None:
    catalogue = shop(contact_policies=[policy("category_suppression", {"windowMs": 500}, *scopes)])
    assert creatives(decided(catalogue, contacted(contact(*past)), channel_id="mail")) == wanted


@pytest.mark.parametrize("scopes", [[("category", "loans")], []])
def test_the_numbers_of_a_category_suppression(scopes: list[Any]) -> None:
    catalogue = shop(contact_policies=[policy("category_suppression", {"windowMs": 500}, *scopes)])
    result = decided(
        catalogue, contacted(contact(1, "car-mail"), contact(500, "car-mail")), channel_id="mail"
    )
    assert verdict(result, "house-mail").numbers == {"categoryId": "loans", "count": 1, "windowMs": 500}
    result = decided(catalogue, channel_id="mail")
    assert creatives(result) == ["card-mail", "house-mail"]
    assert verdict(result, "car-mail").numbers == {
        "categoryId": "loans", "count": 1, "windowMs": 500, "takenInThisDecision": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "past", "wanted"),
    [
        # Within one decision the higher one wins.
        (PAIR, [], ["card-mail", "house-mail"]),
        (PAIR, [(499, "car-mail")], ["house-mail", "car-mail"]),
        (PAIR, [(500, "car-mail")], ["card-mail", "house-mail"]),
        (PAIR, [(1, "card-site")], ["card-mail", "house-mail"]),
        (PAIR, [(1, "card-mail"), (2, "car-mail")], ["house-mail"]),
        (PAIR, [(1, "house-mail")], ["card-mail", "house-mail"]),
        # Without a window only this very decision counts.
        ({"offerIds": ["card", "car"]}, [(1, "car-mail")], ["card-mail", "house-mail"]),
        ({"offerIds": ["card", "car", "house"]}, [], ["card-mail"]),
        ({"offerIds": ["car", "house"], "windowMs": 9}, [(1, "house-site")], ["card-mail", "house-mail"]),
    ],
)
def test_one_offer_of_a_group_excludes_the_others(
    config: dict[str, Any], past: list[Any], wanted: list[str]
) -> None:
    catalogue = shop(contact_policies=[policy("mutual_exclusion", config)])
    customer = contacted(*[contact(*one) for one in past])
    assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted


def test_an_exclusion_names_the_offer_that_excludes() -> None:
    catalogue = shop(contact_policies=[policy("mutual_exclusion", PAIR)])
    result = decided(catalogue, contacted(contact(7, "car-mail"), contact(9, "car-mail")), channel_id="mail")
    assert verdict(result, "card-mail").numbers == {"excludedBy": "car", "ageMs": 7, "windowMs": 500}
    result = decided(catalogue, channel_id="mail")
    removed = verdict(result, "car-mail")
    assert removed.stage == "rank"
    assert removed.numbers == {"excludedBy": "card", "takenInThisDecision": 1}
    # Its own earlier delivery does not exclude it, a later one of another does.
    both = contacted(contact(1, "card-mail"), contact(5, "car-mail"))
    assert verdict(decided(catalogue, both, channel_id="mail"), "card-mail").numbers["excludedBy"] == "car"


def test_one_offer_at_two_places_does_not_exclude_itself() -> None:
    flow = {"id": "flow", "name": "F", "status": "active", "ranking": {"oneCreativePerOffer": False}}
    catalogue = shop(contact_policies=[policy("mutual_exclusion", PAIR)], decision_flows=[flow])
    assert creatives(decided(catalogue)) == ["card-mail", "card-site", "house-mail", "house-site"]


@pytest.mark.parametrize("past", [[], ["card-mail"], ["card-mail", "car-mail"]])
def test_a_group_costs_by_what_a_customer_was_offered_not_by_its_size(
    monkeypatch: pytest.MonkeyPatch, past: list[str]
) -> None:
    looked_at: list[History] = []
    closed: list[str] = []
    last_ms, close = History.last_ms, RelationState._close

    def looking(self: History) -> int | None:
        looked_at.append(self)
        return last_ms(self)

    def closing(self: RelationState, key: str, bit: int) -> None:
        closed.append(key)
        close(self, key, bit)

    monkeypatch.setattr(History, "last_ms", looking)
    monkeypatch.setattr(RelationState, "_close", closing)
    groups = [
        {
            **policy("mutual_exclusion", {"offerIds": ["card", "car", "house"], "windowMs": 500}),
            "id": f"g{place}",
        }
        for place in range(4)
    ]
    found = shop(contact_policies=groups).resolve_flow(None, None, None)
    assert found is not None
    customer = contacted(*[contact(1, one) for one in past])
    request = DecisionRequest(limit=10, channel_id="mail")
    result = decide(found, request, customer, NOW_MS, "salt", lambda: 0.0)
    assert creatives(result) == ["card-mail"][: 2 - len(past)]
    assert len(looked_at) == len(past)
    assert closed == []


def test_the_scope_of_an_exclusion_says_whom_it_blocks() -> None:
    catalogue = shop(contact_policies=[policy("mutual_exclusion", PAIR, ("channel", "mail"))])
    customer = contacted(contact(1, "car-mail"))
    assert creatives(decided(catalogue, customer, channel_id="mail")) == ["house-mail", "car-mail"]
    assert creatives(decided(catalogue, customer, channel_id="site")) == ["card-site", "house-site"]


def test_mandatory_offers_obey_a_cross_channel_cap_and_no_other_relation() -> None:
    mandatory = {"id": "car", "name": "Car", "categoryId": "loans", "mandatory": True}
    customer = contacted(contact(1, "car-mail"), contact(2, "house-mail"), contact(3, "card-mail"))
    for kind, config, shown in (
        ("cross_channel_cap", {"max": 1, "windowMs": 9}, False),
        ("category_suppression", {"windowMs": 9}, True),
        ("mutual_exclusion", PAIR, True),
        ("customer_total_cap", {"max": 1, "windowMs": 9}, True),
    ):
        catalogue = shop(offers=[mandatory], contact_policies=[policy(kind, config)])
        assert ("car-mail" in creatives(decided(catalogue, customer, channel_id="mail"))) is shown, kind


def test_contacts_with_unknown_ids_count_where_they_can() -> None:
    catalogue = shop(contact_policies=[policy("category_suppression", {"windowMs": 500})])
    for category_id, wanted in (("loans", ["card-mail"]), ("home", ["card-mail"]), ("gone", MAIL[:2])):
        bare = Contact(NOW_MS - 1, "gone", "", "", category_id)
        assert (
            creatives(decided(catalogue, CustomerView("ann", contacts=[bare]), channel_id="mail")) == wanted
        )
