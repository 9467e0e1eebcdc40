"""The fold of experiments: assigned, exposed once, converted once and in time, bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.experiments.exposure import VariantEvent, assign, convert, expose
from app.decision.fold import Clock, Verdict, fold_decision
from app.decision.records import DecisionMade, Response, decode_decision
from app.decision.refusals import Refused
from app.decision.responses import fold_response
from app.decision.state import ASSIGNED_MAX, DAY_MS, Assigned, Customer, Shown
from tests.decision.building import NOW_MS
from tests.decision.experiments.building import RACING, between_creatives, between_scorings, experimenting

WINDOW_MS = 7 * DAY_MS
SHOP = experimenting(
    between_creatives(),
    between_scorings(),
    decision_flows=[RACING],
)


class Folding:
    """A customer's records of the shop, folded one after the other."""

    def __init__(self, catalogue: TenantCatalogue = SHOP) -> None:
        self.customer = Customer("t", "ann")
        self._snapshot = CatalogSnapshot(1, {"t": catalogue})
        self._given = 0

    def decide(self, at_ms: int, arm: str = "b", implicit: bool = True, **fields: Any) -> Verdict:
        """A decision of the card's mail in variant `arm`, and of the house's in no experiment."""
        self._given += 1
        shown = (
            Shown(1, "card", "card-mail-b", "mail", "cards", experiment_id="exp", variant=arm),
            Shown(2, "house", "house-mail", "mail", "loans"),
        )
        body = {
            "assigned": {"exp": arm},
            "contact_ranks": (1, 2) if implicit else (),
            "shown": shown,
            **fields,
        }
        decision = DecisionMade("t", "ann", f"rec_0_1_{self._given:08x}", "flow", at_ms, 1, "o", 1, **body)
        return fold_decision(self.customer, decision, self._clock(at_ms))

    def respond(self, at_ms: int, outcome: str, **fields: Any) -> Verdict:
        """A response, to rank 1 of the last decision unless other fields are given."""
        target = fields or {"recommendation_id": f"rec_0_1_{self._given:08x}", "rank": 1}
        response = Response("t", "ann", outcome=outcome, **target)
        verdict = fold_response(self.customer, response, at_ms, self._clock(at_ms), f"r-{at_ms}")
        assert verdict.status == "recorded", verdict
        return verdict

    def _clock(self, at_ms: int) -> Clock:
        return Clock(at_ms, self._snapshot)


def exposure(variant: str = "b", experiment_id: str = "exp") -> VariantEvent:
    return VariantEvent("exposure", experiment_id, variant)


def conversion(variant: str = "b", experiment_id: str = "exp") -> VariantEvent:
    return VariantEvent("conversion", experiment_id, variant)


def test_an_implicit_decision_assigns_and_exposes_once() -> None:
    folding = Folding()
    assert folding.decide(NOW_MS).variants == (exposure(),)
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS, NOW_MS)}
    assert folding.decide(NOW_MS + 5, assigned={}).variants == ()
    assert folding.decide(NOW_MS + 6).variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS, NOW_MS)}
    assert exposure().evidence_key == "variant/exp/b"


def test_an_explicit_decision_exposes_when_its_impression_is_reported() -> None:
    folding = Folding()
    site = Shown(1, "card", "card-site", "site", "cards", experiment_id="exp", variant="b")
    assert folding.decide(NOW_MS, implicit=False, shown=(site,)).variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS)}
    assert folding.respond(NOW_MS + 3, "click").variants == ()
    assert folding.respond(NOW_MS + 4, "impression").variants == (exposure(),)
    assert folding.respond(NOW_MS + 5, "impression").variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS, NOW_MS + 4)}


def test_only_the_ranks_that_are_contacts_expose() -> None:
    folding = Folding()
    assert folding.decide(NOW_MS, contact_ranks=(2,)).variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS)}


@pytest.mark.parametrize(
    ("after_ms", "outcome", "counts"),
    [
        (0, "click", True),
        (WINDOW_MS - 1, "convert", True),
        (WINDOW_MS, "convert", False),
        (1, "dismiss", False),
        (1, "defer", False),
        (1, "impression", False),
    ],
)
def test_a_positive_response_within_the_window_converts(after_ms: int, outcome: str, counts: bool) -> None:
    folding = Folding()
    folding.decide(NOW_MS)
    assert folding.respond(NOW_MS + after_ms, outcome).variants == ((conversion(),) if counts else ())
    converted_ms = NOW_MS + after_ms if counts else 0
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS, NOW_MS, converted_ms)}


def test_a_customer_converts_once() -> None:
    folding = Folding()
    folding.decide(NOW_MS)
    assert folding.respond(NOW_MS + 1, "click").variants == (conversion(),)
    assert folding.respond(NOW_MS + 2, "accept").variants == ()
    folding.decide(NOW_MS + 3, assigned={})
    assert folding.respond(NOW_MS + 4, "click").variants == ()


@pytest.mark.parametrize(
    ("target", "counts"),
    [
        ({"offer_id": "card"}, True),
        ({"offer_id": "card", "channel_id": "site"}, True),
        ({"creative_id": "card-mail"}, True),
        ({"offer_id": "house"}, False),
        ({"recommendation_id": "rec_0_1_00000001", "rank": 2}, False),
        # Ours, forgotten: counts as a direct one.
        ({"recommendation_id": "rec_0_1_0badcafe", "offer_id": "card"}, True),
    ],
)
def test_a_direct_response_on_the_offer_counts_for_the_variant_that_was_seen(
    target: dict[str, Any], counts: bool
) -> None:
    folding = Folding()
    folding.decide(NOW_MS)
    assert folding.respond(NOW_MS + 1, "accept", **target).variants == ((conversion(),) if counts else ())


def test_who_was_not_exposed_does_not_convert() -> None:
    folding = Folding()
    assert folding.respond(NOW_MS, "accept", offer_id="card").variants == ()
    folding.decide(NOW_MS, implicit=False)
    assert folding.respond(NOW_MS + 1, "accept").variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS)}


def test_the_experiment_of_the_scoring_is_that_of_every_rank() -> None:
    folding = Folding()
    race: dict[str, Any] = {
        "experiment_id": "race",
        "variant": "challenger",
        "assigned": {"exp": "b", "race": "challenger"},
    }
    challenger = exposure("challenger", "race"), exposure()
    assert folding.decide(NOW_MS, **race).variants == challenger
    house = {"recommendation_id": "rec_0_1_00000001", "rank": 2}
    assert folding.respond(NOW_MS + 1, "click", **house).variants == (conversion("challenger", "race"),)
    assert folding.respond(NOW_MS + 2, "click").variants == (conversion(),)


def test_a_new_assignment_starts_anew() -> None:
    folding = Folding()
    folding.decide(NOW_MS)
    folding.respond(NOW_MS + 1, "click")
    late = NOW_MS + 30 * DAY_MS
    assert folding.decide(late).variants == (exposure(),)
    assert folding.respond(late + 1, "click").variants == (conversion(),)
    assert folding.customer.assigned == {"exp": Assigned("b", late, late, late + 1)}
    # Another variant within the days: its own was taken out of the experiment.
    assert folding.decide(late + 2, "a").variants == (exposure("a"),)
    assert folding.customer.assigned == {"exp": Assigned("a", late + 2, late + 2)}


def test_a_contact_folded_before_its_decision_assigns() -> None:
    customer = Customer("t", "ann")
    assert expose(customer, "exp", "b", NOW_MS + 5, 30 * DAY_MS, SHOP.experiments)
    assign(customer, "exp", "b", NOW_MS, 30 * DAY_MS, SHOP.experiments)
    assert customer.assigned == {"exp": Assigned("b", NOW_MS + 5, NOW_MS + 5)}
    assert not expose(customer, "exp", "a", NOW_MS + 6, 30 * DAY_MS, SHOP.experiments)
    assert expose(customer, "exp", "a", NOW_MS + 5 + 30 * DAY_MS, 30 * DAY_MS, SHOP.experiments)


def test_a_response_before_the_exposure_does_not_convert() -> None:
    customer = Customer("t", "ann")
    assert not convert(customer, "exp", "b", NOW_MS, WINDOW_MS)
    expose(customer, "exp", "b", NOW_MS, 30 * DAY_MS, SHOP.experiments)
    assert not convert(customer, "exp", "b", NOW_MS - 1, WINDOW_MS)
    assert not convert(customer, "exp", "a", NOW_MS, WINDOW_MS)
    assert convert(customer, "exp", "b", NOW_MS, WINDOW_MS)


def test_a_late_contact_of_a_variant_that_was_replaced_is_no_exposure() -> None:
    customer = Customer("t", "ann")
    assign(customer, "exp", "a", NOW_MS, 30 * DAY_MS, SHOP.experiments)
    assert not expose(customer, "exp", "b", NOW_MS + 1, 30 * DAY_MS, SHOP.experiments)
    assert customer.assigned == {"exp": Assigned("a", NOW_MS)}


def test_an_assignment_that_nobody_saw_does_not_convert_at_any_time() -> None:
    customer = Customer("t", "ann")
    assign(customer, "exp", "b", 1, 30 * DAY_MS, SHOP.experiments)
    assert not convert(customer, "exp", "b", 2, WINDOW_MS)


def test_an_experiment_that_is_gone_counts_nothing() -> None:
    folding = Folding(experimenting())
    assert folding.decide(NOW_MS).variants == ()
    assert folding.customer.assigned == {"exp": Assigned("b", NOW_MS)}
    assert folding.respond(NOW_MS + 1, "click").variants == ()


def test_the_number_of_assignments_is_bounded_and_the_least_worth_goes() -> None:
    customer = Customer("t", "ann")
    # Two that are known, both old; the rest the catalogue does not know.
    assign(customer, "exp", "b", NOW_MS - 2 * DAY_MS, 30 * DAY_MS, SHOP.experiments)
    assign(customer, "race", "champion", NOW_MS - 29 * DAY_MS, 30 * DAY_MS, SHOP.experiments)
    for number in range(ASSIGNED_MAX - 2):
        assign(customer, f"x{number:03}", "a", NOW_MS - 1_000 + number, None, SHOP.experiments)
    assert len(customer.assigned) == ASSIGNED_MAX
    assign(customer, "y", "a", NOW_MS, None, SHOP.experiments)
    assert len(customer.assigned) == ASSIGNED_MAX
    assert {"exp", "race", "y"} <= customer.assigned.keys()
    assert "x000" not in customer.assigned
    # `race` no longer sticks.
    assign(customer, "z", "a", NOW_MS + 2 * DAY_MS, None, SHOP.experiments)
    assert "race" not in customer.assigned
    assert {"exp", "x001", "y", "z"} <= customer.assigned.keys()


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["decide", "again", "click", "accept", "dismiss"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 10 * DAY_MS),
    ),
    max_size=30,
)


@given(_STEPS)
def test_never_more_conversions_than_exposures_than_assignments(steps: list[tuple[str, str, int]]) -> None:
    folding = Folding()
    at_ms, assignments, counts = NOW_MS, 0, {"exposure": 0, "conversion": 0}
    for step, variant, later_ms in steps:
        at_ms += later_ms
        before = folding.customer.assigned.get("exp")
        if step in ("decide", "again"):
            verdict = folding.decide(at_ms, variant, implicit=step == "decide")
        else:
            verdict = folding.respond(at_ms, step, offer_id="card")
        after = folding.customer.assigned.get("exp")
        assignments += after is not None and (before is None or after.assigned_ms != before.assigned_ms)
        assignments += (
            before is not None
            and after is not None
            and (after.assigned_ms == before.assigned_ms and after.variant != before.variant)
        )
        for event in verdict.variants:
            counts[event.kind] += 1
            assert after is not None
            assert event.variant == after.variant
    assert counts["conversion"] <= counts["exposure"] <= assignments


def test_a_decision_record_cannot_assign_without_bound() -> None:
    body = b'{"tenantId":"t","customerId":"c","recommendationId":"r","decisionFlowId":"f","atMs":1,' \
        b'"catalogueVersion":1,"origin":"o","sequence":1,"shown":[],"assigned":{%s}}'  # fmt: skip
    most = ",".join(f'"e{number}":"a"' for number in range(ASSIGNED_MAX)).encode()
    kept = decode_decision(body % most)
    assert isinstance(kept, DecisionMade)
    assert len(kept.assigned) == ASSIGNED_MAX
    assert isinstance(decode_decision(body % (most + b',"more":"a"')), Refused)


@pytest.mark.parametrize(
    ("arm", "age_ms", "target", "exposed"),
    [
        ("b", 1, {"creative_id": "card-mail-b"}, True),
        ("b", 30 * DAY_MS - 1, {"creative_id": "card-mail-b"}, True),
        ("b", 30 * DAY_MS, {"creative_id": "card-mail-b"}, False),
        ("b", 1, {"creative_id": "card-mail"}, False),
        ("a", 1, {"creative_id": "card-mail"}, True),
        ("b", 1, {"creative_id": "card-mail-c"}, False),
        ("b", 1, {"offer_id": "card"}, False),
        ("gone", 1, {"creative_id": "card-mail"}, False),
    ],
)
def test_an_impression_that_names_the_variants_creative_exposes(
    arm: str, age_ms: int, target: dict[str, Any], exposed: bool
) -> None:
    folding = Folding()
    folding.decide(NOW_MS - age_ms, arm, implicit=False)
    assert folding.respond(NOW_MS, "impression", **target).variants == ((exposure(arm),) if exposed else ())
    assert folding.respond(NOW_MS + 1, "impression", **target).variants == ()
    clicked = folding.respond(NOW_MS + 2, "click", **target).variants
    assert clicked == ((conversion(arm),) if exposed else ())


def test_a_direct_impression_assigns_nobody() -> None:
    folding = Folding()
    assert folding.respond(NOW_MS, "impression", creative_id="card-mail-b").variants == ()
    assert folding.customer.assigned == {}
