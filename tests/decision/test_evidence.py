"""Evidence: what observations add up to; and what deliveries a fold made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.decision.deliveries import Delivery, made_since, mark_contacts
from app.decision.evidence import TALLIES, added, deltas, tally_of
from app.decision.learning.evidence import Tally
from app.decision.observations import Observation
from app.decision.state import Contact, Customer, Reserved

SHOWN = Observation("impression", "o1", "c1", "music", "web")
LIKED = Observation("positive", "o1", "c1", "music", "web", experiment_id="e", variant="b")


def test_an_observation_counts_for_its_offer_category_and_tenant() -> None:
    assert dict(deltas(SHOWN)) == dict.fromkeys(("offer/o1", "category/music", "tenant"), Tally(1, 0))
    assert dict(deltas(LIKED)) == dict.fromkeys(("offer/o1", "category/music", "tenant"), Tally(0, 1))


def test_what_has_no_offer_counts_for_the_tenant_alone() -> None:
    assert dict(deltas(Observation("impression", "", "", "", ""))) == {"tenant": Tally(1, 0)}


counts = st.integers(0, 2**40)


@given(st.lists(st.tuples(counts, counts)), st.randoms())
def test_totals_merge_in_any_order(parts: list[tuple[int, int]], chance: object) -> None:
    totals = [added(None, Tally(*part)) for part in parts]
    wanted = Tally(sum(part[0] for part in parts), sum(part[1] for part in parts))
    assert tally_of(TALLIES.merge(totals)) == wanted
    assert TALLIES.merge(totals[::-1]) == TALLIES.merge(totals)


def contact(at_ms: int) -> Contact:
    return Contact(at_ms, "o1", "c1", "web", "music")


def made(customer: Customer, change: object) -> list[Delivery]:
    mark = mark_contacts(customer)
    change()  # type: ignore[operator]
    return list(made_since(mark, customer))


def test_a_reservation_that_is_reported_is_one_delivery() -> None:
    customer = Customer("shop", "C1")
    held = Reserved(9_000, "rec", 1, contact(1_000))

    def reserve() -> None:
        customer.reserved = [*customer.reserved, held]

    def report() -> None:
        customer.reserved = []
        customer.contacts.append(contact(5_000))

    assert made(customer, reserve) == [Delivery(1_000, "o1", "c1")]
    assert made(customer, report) == [Delivery(5_000, "o1", "c1"), Delivery(1_000, "o1", "c1", -1)]
    assert made(customer, lambda: None) == []


def test_a_reservation_that_ran_out_is_taken_back() -> None:
    customer = Customer("shop", "C1")
    customer.reserved = [Reserved(9_000, "rec", 1, contact(1_000))]

    def expire() -> None:
        customer.reserved = []

    assert made(customer, expire) == [Delivery(1_000, "o1", "c1", -1)]
