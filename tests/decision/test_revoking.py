"""Outcomes that revoke consent, and what lifts it."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.consent import closed_channels
from app.decision.fold import RECORDED, REFUSED
from app.decision.profiles import CONSENTS_MAX
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding, catalogue, response, target

SITE = {"id": "site", "key": "web-site", "name": "Site", "type": "web"}


def _consent(folding: Folding) -> dict[str, str]:
    return {} if folding.customer.profile is None else folding.customer.profile.consent


@pytest.mark.parametrize(
    ("outcome", "about", "revoked"),
    [
        ("opt_out", {"creativeId": "card-site"}, "site"),
        ("complaint", {"creativeId": "card-mail"}, "mail"),
        ("opt_out", {"offerId": "card", "channelId": "mail"}, "mail"),
        ("opt_out", {"offerId": "card"}, "all"),
        ("dismiss", {"creativeId": "card-site"}, None),
        ("not_interested", {"creativeId": "card-site"}, None),
        ("stop", {"creativeId": "card-site"}, None),
    ],
)
def test_some_outcomes_revoke_consent_on_their_channel(
    outcome: str, about: dict[str, Any], revoked: str | None
) -> None:
    own = [{"id": "stop", "key": "stop", "name": "Stop", "classification": "negative"}]
    folding = Folding(catalogue(outcome_types=own))
    assert folding.response(outcome, **about).status == RECORDED
    assert _consent(folding) == ({} if revoked is None else {revoked: "revoked"})
    assert folding.customer.profile_changed is (revoked is not None)


def test_without_a_channel_it_is_the_creatives() -> None:
    folding = Folding()
    one = response("opt_out", creativeId="card-site")
    one.target = target(channel_id="", outcome="opt_out")
    folding.fold(one)
    assert _consent(folding) == {"site": "revoked"}


def test_the_rest_of_the_profile_stays() -> None:
    folding = Folding()
    folding.profile(attributes={"age": 7}, tags=["x"], consent={"mail": "granted", "ads": "granted"})
    folding.response("opt_out", creativeId="card-mail")
    profile = folding.customer.profile
    assert profile is not None
    assert (profile.attributes, profile.tags) == ({"age": 7}, ("x",))
    assert profile.consent == {"mail": "revoked", "ads": "granted"}


@pytest.mark.parametrize(
    ("write", "lifted"),
    [
        ({"consent": {"site": "granted"}}, True),
        ({"consent": {"web-site": "granted"}}, True),
        ({"consent": {"web-site": "granted", "site": "revoked"}}, False),
        ({"consent": {"web": "granted"}}, True),
        ({"consent": {"all": "granted"}}, True),
        ({"consent": {"all": "granted", "site": "revoked"}}, False),
        ({"consent": {"web": "granted", "web-site": "revoked"}}, False),
        ({"consent": {"email": "granted"}}, False),
        ({"consent": {"ads": "granted"}}, False),
        ({"consent": {"web": "revoked"}}, False),
        ({"replace": True, "consent": {"all": "granted"}}, True),
        ({"consent": {}}, False),
        ({"attributes": {"age": 7}}, False),
        ({"replace": True}, False),
        ({"replace": True, "consent": {"mail": "granted"}}, False),
        ({"replace": True, "consent": {"site": "granted"}}, True),
    ],
)
def test_only_a_grant_that_covers_the_channel_lifts_it(write: dict[str, Any], lifted: bool) -> None:
    folding = Folding(catalogue(channels=[SITE]))
    folding.response("opt_out", creativeId="card-site")
    folding.profile(**write)
    assert ("revoked" not in _consent(folding).values()) is lifted


@pytest.mark.parametrize(
    ("before", "grant", "after"),
    [
        # Of the type the customer spoke: no outcome revokes under it, a grant for less does not lift it.
        ({"web": "revoked"}, "site", {"web": "revoked", "site": "granted"}),
        ({"web": "revoked"}, "all", {"web": "revoked", "all": "granted"}),
        ({"all": "revoked"}, "site", {"all": "revoked", "site": "granted"}),
        ({"all": "revoked"}, "web", {"all": "revoked", "web": "granted"}),
        ({"all": "revoked", "site": "revoked"}, "all", {"all": "granted"}),
        ({"site": "revoked", "mail": "revoked"}, "web", {"mail": "revoked", "web": "granted"}),
        ({"site": "revoked", "mail": "revoked"}, "all", {"all": "granted"}),
        ({"web-site": "revoked"}, "web", {"web": "granted"}),
        # Of a purpose, too.
        ({"ads": "revoked"}, "all", {"ads": "revoked", "all": "granted"}),
    ],
)
def test_a_grant_lifts_the_channels_that_it_covers_and_nothing_wider(
    before: dict[str, str], grant: str, after: dict[str, str]
) -> None:
    folding = Folding(catalogue(channels=[SITE]))
    folding.profile(consent=before)
    folding.profile(consent={grant: "granted"})
    assert _consent(folding) == after


@pytest.mark.parametrize("grant", ["site", "web-site", "web", "all"])
def test_who_grants_it_again_is_reached_again(grant: str) -> None:
    shop = catalogue(channels=[SITE])
    site = shop.channel("site")
    assert site is not None
    folding = Folding(shop)
    folding.response("opt_out", creativeId="card-site")
    assert "site" in closed_channels(_consent(folding), [site], denied=False)
    folding.profile(consent={grant: "granted"})
    assert closed_channels(_consent(folding), [site], denied=False) == {}


def test_replace_forgets_what_was_granted() -> None:
    folding = Folding()
    folding.profile(consent={"mail": "granted", "site": "revoked"})
    folding.profile(replace=True)
    assert _consent(folding) == {"site": "revoked"}


def test_the_later_in_the_log_wins_whenever_it_happened() -> None:
    folding = Folding()
    folding.profile(consent={"site": "granted"})
    folding.response("opt_out", creativeId="card-site", at_ms=NOW_MS - 86_400_000)
    assert _consent(folding) == {"site": "revoked"}
    folding.profile(consent={"site": "granted"})
    assert _consent(folding) == {"site": "granted"}


def test_a_duplicate_does_not_undo_a_grant() -> None:
    folding = Folding()
    folding.response("opt_out", creativeId="card-site", idempotencyKey="k")
    folding.profile(consent={"site": "granted"})
    folding.response("opt_out", creativeId="card-site", idempotencyKey="k")
    assert _consent(folding) == {"site": "granted"}


def test_the_bound_on_consents_never_loses_a_revocation() -> None:
    folding = Folding()
    folding.profile(consent={f"p{n}": "granted" for n in range(CONSENTS_MAX)})
    folding.response("opt_out", creativeId="card-site")
    assert len(_consent(folding)) == CONSENTS_MAX + 1
    assert folding.profile(attributes={"age": 7}).status == RECORDED
    assert folding.profile(consent={"site": "granted"}).status == RECORDED
    assert folding.profile(consent={"more": "granted"}).status == REFUSED
    assert len(_consent(folding)) == CONSENTS_MAX + 1


def test_past_the_last_bound_consent_on_all_is_revoked() -> None:
    folding = Folding()
    for number in range(2 * CONSENTS_MAX + 30):
        one = response("opt_out", creativeId="card-site")
        one.target = target(channel_id=f"ch{number}", outcome="opt_out")
        folding.fold(one)
    consent = _consent(folding)
    assert len(consent) == 2 * CONSENTS_MAX + 1
    assert consent["all"] == consent["ch0"] == "revoked"
