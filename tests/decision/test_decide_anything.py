"""Deciding never fails for what a customer or a request holds."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView
from app.decision.operators import OPERATORS
from app.decision.state import Contact, Profile, Window
from tests.decision.building import NOW_MS, decided, policy, shop
from tests.decision.documents import ANY_JSON, SCALARS


def rule(number: int, field: str, operator: str, **config: Any) -> dict[str, Any]:
    """A fit rule, so that none hides what the next does."""
    value: Any = ["x", 1] if operator in ("in", "not_in") else "x" if number % 2 else 1
    if operator == "starts_with":
        value = "x"
    return {
        "id": f"r{number}",
        "name": "r",
        "kind": "attribute_condition",
        "effect": "fit",
        "multiplier": 0.9,
        "config": {"field": field, "operator": operator, "value": value, **config},
    }


#: What reads whatever a customer or a request holds, alone and for each offer.
FORMULAS = (
    "customer.x + attributes.x * context.y - metrics.m / attributes.y",
    "-customer.y % customer.x == context.x && !(attributes.x.y < customer.x) || customer.tags",
    "round(customer.x, attributes.y) + floor(context.x) + ceil(attributes.x) + abs(customer.y)",
    "concat(upper(customer.x), lower(context.x), customer.y, attributes.x, len(customer.tags))",
    "days_between(customer.x, now) + days_between(attributes.x, context.x)",
    "min(customer.x, fee) + max(attributes.x.y, fee) + c0",
    "coalesce(customer.x, attributes.x, fee) ? c1 : if(context.x, c2, c3)",
)
FIELDS = [
    {"key": "fee", "type": "number", "default": 2},
    *[
        {"key": f"c{i}", "type": "computed", "formula": formula}
        for i, formula in enumerate((*FORMULAS, "c6 + c5", "c7 == c4", "c8 ? c3 : c0"))
    ],
]


def catalogue_of_everything() -> TenantCatalogue:
    """Every operator on every namespace, a metric, policies, and templates that read it all."""
    fields = ("customer.x", "customer.tags", "attributes.x.y", "context.x")
    rules = [
        rule(4 * i + j, field, operator)
        for i, operator in enumerate(OPERATORS)
        for j, field in enumerate(fields)
    ]
    metric_rule = {
        **rule(99, "m", "gt"),
        "kind": "metric_condition",
        "config": {"field": "m", "operator": "gt", "value": 1},
    }
    expressions = [
        {**rule(100 + i, "x", "eq"), "kind": "expression", "config": {"formula": formula}}
        for i, formula in enumerate(FORMULAS)
    ]
    content = {
        "a": "{{ x }} {{ customer.tags }} {{ attributes.x.y | none }} {{ metrics.m }} {{ context.x }}",
        "b": "{{ c0 }} {{ personalization.c9 }}",
    }
    return shop(
        qualification_rules=[*rules, metric_rule, *expressions],
        categories=[{"id": "cards", "name": "Cards", "customFields": FIELDS}],
        contact_policies=[policy("frequency_cap", {"perDay": 2, "total": 5}, ("category", "loans"))],
        behavioral_metrics=[
            {"id": "m", "key": "m", "aggregate": "count", "eventTypes": ["page"], "windowMs": 60_000}
        ],
        creatives=[
            {"id": "card-mail", "name": "m", "offerId": "card", "channelId": "mail", "content": content}
        ],
    )


CATALOGUE = catalogue_of_everything()
NAMED = st.dictionaries(st.sampled_from(["x", "y", "tags"]), ANY_JSON, max_size=3)
IDS = st.sampled_from(["card", "house", "car", "card-mail", "mail", "site", "loans", "home", "hero", "", "?"])
CONTACTS = st.lists(
    st.builds(Contact, st.integers(NOW_MS - 10**9, NOW_MS + 10**9), IDS, IDS, IDS, IDS, st.none() | IDS),
    max_size=6,
)
PROFILES = st.none() | st.builds(
    Profile,
    attributes=st.dictionaries(st.sampled_from(["x", "y"]), SCALARS | st.lists(SCALARS, max_size=3)),
    tags=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    consent=st.dictionaries(IDS | st.sampled_from(["email", "all"]), st.sampled_from(["granted", "revoked"])),
)
WINDOWS = st.dictionaries(
    st.sampled_from(["m", "gone"]),
    st.builds(
        Window,
        st.sampled_from([0, 1_000, 7]),
        st.dictionaries(st.integers(0, NOW_MS), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    ),
)


@settings(max_examples=300)
@given(
    profile=PROFILES,
    windows=WINDOWS,
    contacts=CONTACTS,
    attributes=NAMED,
    context=NAMED,
    limit=st.integers(1, 50),
)
def test_any_customer_and_request_get_a_decision(
    profile: Profile | None,
    windows: dict[str, Window],
    contacts: list[Contact],
    attributes: dict[str, Any],
    context: dict[str, Any],
    limit: int,
) -> None:
    customer = CustomerView("ann", profile, windows, contacts)
    result = decided(CATALOGUE, customer, limit=limit, attributes=attributes, context=context)
    assert result.total_candidates == 5
    assert result.after_contact_policy <= result.after_qualification == 5
    assert len(result.decisions) + sum(result.removals.values()) <= 5
    if limit >= 5:
        assert len(result.decisions) + sum(result.removals.values()) == 5
    assert [one.rank for one in result.decisions] == list(range(1, len(result.decisions) + 1))
    assert all(0 <= one.score <= 1 for one in result.decisions)
    for one in result.decisions:
        keys = [f"c{i}" for i in range(10)] if one.offer_id == "card" else []
        assert sorted(one.personalization) == keys
        msgspec.json.encode(one)
