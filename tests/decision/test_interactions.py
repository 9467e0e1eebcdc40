"""Recent interactions: responses that counted, kept to be shown."""

from __future__ import annotations

from app.decision.state import INTERACTION_SEGMENT, INTERACTIONS_MAX, Interaction
from tests.decision.building import NOW_MS
from tests.decision.folding import Folding, recommendation


def test_a_response_that_counts_is_an_interaction() -> None:
    folding = Folding()
    folding.decision(1)
    verdict = folding.response("click", to=(1, 2), at_ms=NOW_MS - 5)
    folding.response("share", offerId="card")
    first, second = folding.customer.interactions
    assert first == Interaction(
        verdict.interaction_id, NOW_MS - 5, "click", "house", "house-site", "site", recommendation(1), 2
    )
    assert (second.outcome, second.offer_id, second.recommendation_id) == ("share", "card", None)


def test_duplicates_conflicts_and_refused_ones_are_none() -> None:
    folding = Folding()
    for value in (1, 1, 2):
        folding.response("click", offerId="card", idempotencyKey="k", conversionValue=value)
    folding.response("click", offerId="nobody-knows")
    folding.response("no-outcome", offerId="card")
    assert len(folding.customer.interactions) == 1


def test_an_alias_is_kept_under_its_own_name() -> None:
    folding = Folding()
    folding.response("conversion", offerId="card")
    assert [one.outcome for one in folding.customer.interactions] == ["convert"]


def test_the_last_20_are_kept() -> None:
    folding = Folding()
    for n in range(50):
        folding.response("click", offerId="card", at_ms=NOW_MS - 1_000 + n)
        assert len(folding.customer.interactions) < INTERACTIONS_MAX + INTERACTION_SEGMENT
    kept = [one.at_ms - NOW_MS + 1_000 for one in folding.customer.interactions]
    assert kept[-INTERACTIONS_MAX:] == list(range(30, 50))
