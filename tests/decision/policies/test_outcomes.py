"""outcome_based: the suppressions that an outcome writes, and what they block."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.policies import suppressions_for
from app.decision.scopes import Standing
from app.decision.state import Profile, Suppression
from tests.decision.building import NOW_MS, creatives, decided, policy, shop, verdict

MAIL = ["card-mail", "house-mail", "car-mail"]
HOUSE = Standing("house", "house-mail", "mail", ("loans", "home"), "hero")
RULE = {"outcomes": ["dismiss"], "lookbackMs": 500}
VIP = {"id": "vip", "name": "VIP", "filter": {"field": "customer.tier", "operator": "eq", "value": "gold"}}
DISLIKE = {"id": "t1", "key": "dislike", "name": "Dislike", "classification": "negative"}


def after(config: dict[str, Any], *scopes: Any, outcome: str = "dismiss", **more: Any) -> list[Suppression]:
    """What an outcome of the house's mail writes under one policy."""
    rule = policy("outcome_based", config, *scopes, **more)
    catalogue = shop(contact_policies=[rule], segments=[VIP], outcome_types=[DISLIKE])
    return suppressions_for(catalogue.suppressions, outcome, HOUSE, NOW_MS)


@pytest.mark.parametrize(
    ("scopes", "wanted"),
    [
        ([], [("global", "")]),
        ([("global", None)], [("global", "")]),
        ([("category", "loans")], [("category", "loans")]),
        ([("subcategory", "home")], [("category", "home")]),
        ([("category", "cards")], []),
        ([("offer", "house")], [("offer", "house")]),
        ([("offer", "car")], []),
        ([("creative", "house-mail")], [("creative", "house-mail")]),
        ([("creative", "house-site")], []),
        ([("channel", "mail")], [("channel", "mail")]),
        ([("channel", "site")], []),
        ([("placement", "hero")], [("placement", "hero")]),
        ([("segment", "vip")], [("segment", "vip")]),
        ([("offer", "house"), ("offer", "car"), ("category", "loans")],
         [("offer", "house"), ("category", "loans")]),
    ],
)  # fmt: skip
def test_an_outcome_closes_the_scopes_in_which_it_stands(scopes: list[Any], wanted: list[Any]) -> None:
    written = after(RULE, *scopes)
    assert [(one.dimension, one.entity_id) for one in written] == wanted
    assert all(one.policy_id == "outcome_based" and one.outcome == "dismiss" for one in written)


@pytest.mark.parametrize(
    ("config", "outcome", "lasts_ms"),
    [
        (RULE, "dismiss", 500),
        ({**RULE, "suppressMs": 2_000}, "dismiss", 2_000),
        ({**RULE, "suppressMs": 1}, "dismiss", 1),
        ({"outcomes": ["click", "conversion"], "lookbackMs": 7}, "convert", 7),
        ({"outcomes": ["convert"], "lookbackMs": 7}, "conversion", 7),
        ({"outcomes": ["dislike"], "lookbackMs": 7}, "dislike", 7),
        ({"outcomes": ["t1"], "lookbackMs": 7}, "dislike", 7),
        (RULE, "click", None),
        (RULE, "unheard-of", None),
    ],
)
def test_how_long_an_outcome_closes(config: dict[str, Any], outcome: str, lasts_ms: int | None) -> None:
    spans = [(one.from_ms, one.until_ms) for one in after(config, outcome=outcome)]
    assert spans == ([] if lasts_ms is None else [(NOW_MS, NOW_MS + lasts_ms)])


def test_only_active_policies_write_suppressions() -> None:
    for status in ("draft", "paused", "archived"):
        assert after(RULE, status=status) == []


def test_the_same_outcome_gives_the_same_ids_and_others_others() -> None:
    scopes = [("offer", "house"), ("category", "loans")]
    first, second = after(RULE, *scopes), after(RULE, *scopes)
    assert first == second
    catalogue = shop(contact_policies=[policy("outcome_based", RULE, *scopes)])
    later = suppressions_for(catalogue.suppressions, "dismiss", HOUSE, NOW_MS + 1)
    other = after(RULE, *scopes, id="other")
    assert len({one.suppression_id for one in (*first, *later, *other)}) == 6


def suppressed(*until_in_ms: int, where: tuple[str, str] = ("global", ""), by: str = "outcome_based") -> Any:
    """A customer with suppressions that end so long from now."""
    return CustomerView(
        "ann",
        Profile(attributes={"tier": "gold"}),
        suppressions=[
            Suppression(f"s{i}", by, *where, "dismiss", NOW_MS - 10, NOW_MS + ms)
            for i, ms in enumerate(until_in_ms)
        ],
    )


@pytest.mark.parametrize(
    ("customer", "scopes", "wanted"),
    [
        (suppressed(1), [], []),
        (suppressed(0), [], MAIL),
        (suppressed(-1), [], MAIL),
        (suppressed(0, 5, 3), [], []),
        (suppressed(1, by="another"), [], MAIL),
        (suppressed(1, where=("offer", "card")), [("offer", "card"), ("offer", "car")], MAIL[1:]),
        (suppressed(1, where=("offer", "card")), [("offer", "car")], MAIL),
        (suppressed(1, where=("category", "loans")), [("category", "loans")], MAIL[:1]),
        (suppressed(1, where=("category", "home")), [("subcategory", "home")], ["card-mail", "car-mail"]),
        (suppressed(1, where=("creative", "car-mail")), [("creative", "car-mail")], MAIL[:2]),
        (suppressed(1, where=("channel", "mail")), [("channel", "mail")], []),
        (suppressed(1, where=("segment", "vip")), [("segment", "vip")], []),
    ],
)
def test_a_suppression_blocks_its_scope_until_it_ends(
    customer: CustomerView, scopes: list[Any], wanted: list[str]
) -> None:
    catalogue = shop(contact_policies=[policy("outcome_based", RULE, *scopes)], segments=[VIP])
    assert creatives(decided(catalogue, customer, channel_id="mail")) == wanted


def test_a_suppression_in_a_segment_holds_for_the_customers_in_it() -> None:
    catalogue = shop(contact_policies=[policy("outcome_based", RULE, ("segment", "vip"))], segments=[VIP])
    inside = suppressed(1, where=("segment", "vip"))
    outside = CustomerView("bob", suppressions=inside.suppressions)
    assert creatives(decided(catalogue, inside, channel_id="mail")) == []
    assert creatives(decided(catalogue, outside, channel_id="mail")) == MAIL


def test_a_trace_says_which_suppression_holds_longest() -> None:
    result = decided(
        shop(contact_policies=[policy("outcome_based", RULE)]), suppressed(3, 9, 5), channel_id="mail"
    )
    assert verdict(result, "card-mail").numbers == {
        "outcome": "dismiss", "fromMs": NOW_MS - 10, "untilMs": NOW_MS + 9,
    }  # fmt: skip


@pytest.mark.parametrize(("after_ms", "shown"), [(0, False), (499, False), (500, True), (-3, False)])
def test_what_an_outcome_writes_a_decision_reads(after_ms: int, shown: bool) -> None:
    catalogue = shop(contact_policies=[policy("outcome_based", RULE, ("category", "loans"))])
    written = suppressions_for(catalogue.suppressions, "dismiss", HOUSE, NOW_MS)
    customer = CustomerView("ann", suppressions=written)
    result = decided(catalogue, customer, NOW_MS + after_ms, channel_id="mail")
    assert creatives(result) == (MAIL if shown else MAIL[:1])
