"""Budgets: a hard bound wherever an offer or a creative has one, with and without a policy."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.catalogue import TenantCatalogue
from app.decision.shared import Shared
from tests.decision.building import creatives, decided, policy, shop, verdict

MAIL = ["card-mail", "house-mail", "car-mail"]
CARD = {"id": "card", "name": "Card", "categoryId": "cards", "priority": 90}
LIMITS = {"maxTotal": 100}


class Rooms:
    """Budgets with so much room; those not named have none. Counts how often it is asked."""

    def __init__(self, **rooms: int) -> None:
        self.rooms = {name.replace("__", "/").replace("_", "-"): room for name, room in rooms.items()}
        self.asked = 0

    def room(self, key: str, /) -> int:
        self.asked += 1
        return self.rooms.get(key, 0)


def budgeted(*policies: dict[str, Any], budget: Any = LIMITS, **more: Any) -> TenantCatalogue:
    """The shop with a budget on the card and some policies."""
    return shop(offers=[{**CARD, "budget": budget, **more}], contact_policies=policies)


def answer(catalogue: TenantCatalogue, rooms: Rooms, **request: Any) -> list[str]:
    """The creatives decided for while so much is left."""
    wanted = {"channel_id": "mail", **request}
    return creatives(decided(catalogue, shared=Shared(budgets=rooms), **wanted))


@pytest.mark.parametrize(("room", "shown"), [(2, True), (1, True), (0, False), (-1, False)])
@pytest.mark.parametrize("mandatory", [True, False])
def test_a_budget_holds_without_a_policy_for_every_offer(room: int, shown: bool, mandatory: bool) -> None:
    assert ("card-mail" in answer(budgeted(mandatory=mandatory), Rooms(offer__card=room))) is shown


def test_no_lease_means_blocked() -> None:
    result = decided(budgeted(), channel_id="mail")
    assert creatives(result) == MAIL[1:]
    assert result.removals == {"budget_exhausted": 1}
    assert verdict(result, "card-mail").numbers == {"budget": "offer/card", "room": 0}


@pytest.mark.parametrize("budget", [None, {}, {"spendPerDelivery": 2}])
def test_what_sets_no_limit_is_no_budget(budget: Any) -> None:
    assert answer(budgeted(budget=budget), Rooms()) == MAIL


def test_what_others_have_is_not_asked_for() -> None:
    rooms = Rooms(offer__card=5)
    assert answer(budgeted(), rooms) == MAIL
    assert rooms.asked == 2, "once for the traced decision, once for the other"


def test_offer_and_creative_each_have_their_own() -> None:
    banner = {"id": "card-site", "name": "s", "offerId": "card", "channelId": "site", "budget": LIMITS}
    catalogue = shop(offers=[{**CARD, "budget": LIMITS}], creatives=[banner])
    for offer, creative, mail, site in ((1, 1, True, True), (1, 0, True, False), (0, 1, False, False)):
        rooms = Rooms(offer__card=offer, creative__card_site=creative)
        assert ("card-mail" in answer(catalogue, rooms)) is mail
        assert ("card-site" in answer(catalogue, rooms, channel_id="site")) is site


def test_candidates_taken_use_up_room() -> None:
    flow = {"id": "flow", "name": "F", "status": "active", "ranking": {"oneCreativePerOffer": False}}
    catalogue = shop(offers=[{**CARD, "budget": LIMITS}], decision_flows=[flow])
    both = ["card-mail", "card-site"]
    assert answer(catalogue, Rooms(offer__card=2), channel_id=None)[:2] == both
    result = decided(catalogue, shared=Shared(budgets=Rooms(offer__card=1)))
    assert creatives(result)[:2] == ["card-mail", "house-mail"]
    removed = verdict(result, "card-site")
    assert (removed.stage, removed.reason, removed.rule_id) == ("rank", "budget_exhausted", None)
    assert removed.numbers == {"budget": "offer/card", "room": 1, "takenInThisDecision": 1}


def test_a_policy_gives_the_removal_its_name_and_its_priority() -> None:
    cap = policy("frequency_cap", {"total": 0}, ("offer", "card"), priority=50)
    named = policy("budget_exhausted", {}, ("category", "cards"), priority=60)
    elsewhere = policy("budget_exhausted", {}, ("category", "loans"), priority=60)
    for policies, wanted in (
        ([cap], "frequency_cap:frequency_cap"),
        ([named], "budget_exhausted:budget_exhausted"),
        ([cap, named], "budget_exhausted:budget_exhausted"),
        ([cap, {**named, "priority": 40}], "frequency_cap:frequency_cap"),
        ([elsewhere], "budget_exhausted"),
    ):
        result = decided(budgeted(*policies), channel_id="mail", shared=Shared(budgets=Rooms()))
        assert result.removals == {wanted: 1}


def test_no_override_lifts_a_budget() -> None:
    override = policy("allow_override", {})
    for policies in ([override], [override, policy("budget_exhausted", {})]):
        assert answer(budgeted(*policies), Rooms()) == MAIL[1:]
        assert answer(budgeted(*policies, mandatory=True), Rooms()) == MAIL[1:]


def test_a_policy_about_budgets_leaves_offers_without_one_alone() -> None:
    assert answer(shop(contact_policies=[policy("budget_exhausted", {})]), Rooms()) == MAIL
