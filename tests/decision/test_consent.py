"""Consent: which channels are closed, by what the customer said and by what the tenant takes for granted."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.decide import CustomerView
from app.decision.state import AttributeValue, Profile
from tests.decision.building import creatives, decided, flow, leaf, shop

MAIL, SITE = {"card-mail", "house-mail", "car-mail"}, {"card-site", "house-site"}


def reached(default: str, consent: dict[str, str] | None, **fields: Any) -> set[str]:
    """The creatives that the customer may get; None for a customer without a profile."""
    catalogue = shop(
        channels=[{"id": "mail", "key": "post", "name": "Mail", "type": "email"}],
        offers=[{"id": "car", "name": "Car", "categoryId": "loans", "mandatory": True}],
        decision_flows=flow(ranking={"oneCreativePerOffer": False}, **fields),
        tenant_settings=[{"id": "settings", "consentDefault": default}],
    )
    profile = None if consent is None else Profile(consent=consent)
    result = decided(catalogue, CustomerView("ann", profile))
    assert result.after_qualification == 5
    if not fields:
        assert result.after_contact_policy == len(result.decisions)
    return set(creatives(result))


@pytest.mark.parametrize(
    ("consent", "allowed", "denied"),
    [
        (None, MAIL | SITE, set()),
        ({}, MAIL | SITE, set()),
        ({"mail": "granted"}, MAIL | SITE, MAIL),
        ({"post": "granted"}, MAIL | SITE, MAIL),
        ({"email": "granted"}, MAIL | SITE, MAIL),
        ({"all": "granted"}, MAIL | SITE, MAIL | SITE),
        ({"mail": "revoked"}, SITE, set()),
        ({"post": "revoked"}, SITE, set()),
        ({"email": "revoked"}, SITE, set()),
        ({"email": "revoked", "mail": "granted"}, SITE, set()),
        ({"mail": "revoked", "all": "granted"}, SITE, SITE),
        ({"all": "revoked"}, set(), set()),
        ({"all": "revoked", "mail": "granted"}, set(), set()),
        ({"marketing": "revoked"}, MAIL | SITE, set()),
        ({"marketing": "granted", "web": "granted"}, MAIL | SITE, SITE),
    ],
)
def test_consent_closes_channels_for_all_offers_mandatory_ones_too(
    consent: dict[str, str] | None, allowed: set[str], denied: set[str]
) -> None:
    assert reached("allow", consent) == allowed
    assert reached("deny", consent) == denied


@pytest.mark.parametrize(
    ("default", "consent", "numbers"),
    [
        ("allow", {"email": "revoked"}, {"consent": "email", "state": "revoked"}),
        ("deny", {"all": "revoked"}, {"consent": "all", "state": "revoked"}),
        ("deny", {}, {"consent": None, "consentDefault": "deny"}),
    ],
)
def test_the_trace_says_what_was_found(
    default: str, consent: dict[str, str], numbers: dict[str, Any]
) -> None:
    catalogue = shop(tenant_settings=[{"id": "settings", "consentDefault": default}])
    result = decided(catalogue, CustomerView("ann", Profile(consent=consent)), channel_id="mail")
    assert result.removals == {"consent:mail": 3}
    assert result.trace is not None
    verdict = result.trace.stages[2].candidates[0]  # type: ignore[union-attr]
    assert (verdict.stage, verdict.reason, verdict.rule_id) == ("consent", "consent", "mail")
    assert verdict.numbers == numbers


def test_a_purpose_closes_nothing_by_itself_but_filters_may_read_it() -> None:
    wanted = leaf("customer.consent.marketing", "neq", "revoked")
    granted = {"any": [wanted, leaf("customer.consent.marketing", "not_exists")]}
    assert reached("allow", {"marketing": "revoked"}, filters=[granted]) == set()
    assert reached("allow", {"marketing": "granted"}, filters=[granted]) == MAIL | SITE
    assert reached("allow", {}, filters=[granted]) == MAIL | SITE


def test_no_attribute_passes_for_consent() -> None:
    asked = leaf("customer.consent.sms.marketing", "eq", "granted")
    catalogue = shop(decision_flows=flow(filters=[asked]))
    forged: dict[str, AttributeValue] = {"consent.sms.marketing": "granted", "consent": "granted"}
    assert creatives(decided(catalogue, CustomerView("ann", Profile(forged)), channel_id="mail")) == []
    real = Profile(consent={"sms.marketing": "granted"})
    assert len(creatives(decided(catalogue, CustomerView("ann", real), channel_id="mail"))) == 3


@pytest.mark.parametrize(("status", "denied"), [("active", True), ("paused", False), ("archived", False)])
def test_only_active_settings_apply(status: str, denied: bool) -> None:
    settings = {"id": "settings", "status": status, "consentDefault": "deny"}
    assert (decided(shop(tenant_settings=[settings])).decisions == ()) is denied
