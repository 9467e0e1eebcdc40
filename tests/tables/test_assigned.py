"""The variants of a customer, as a decision sees them: folded ones, and those of decisions under way."""

from __future__ import annotations

from app.decision.state import Assigned, Contact, Customer, Recommendation
from config.metrics import new_metrics
from tables.codec import changes_of, load_customer
from tables.layout import customer_key
from tables.overlays import Overlay
from tables.partition import Partition

KEY = customer_key("t", "ann")


def _lay(partition: Partition, key: bytes, **assigned: Assigned) -> int:
    sequence = partition.overlays.next_sequence()
    contact = Contact(1, "o", "c", "ch", "cat")
    partition.overlays.add(
        Overlay(sequence, key, Recommendation("r", 1, "f", ()), (contact,), assigned=assigned)
    )
    return sequence


def test_a_decision_sees_what_those_before_it_assigned_until_they_are_folded() -> None:
    partition = Partition(0, 100, 100, new_metrics())
    customer = Customer("t", "ann")
    customer.assigned = {"old": Assigned("a", 1), "kept": Assigned("a", 1)}
    assert partition.assigned(KEY, None) == {}
    _lay(partition, customer_key("t", "bob"), old=Assigned("z", 9))
    assert partition.assigned(KEY, customer) == customer.assigned
    first = _lay(partition, KEY, old=Assigned("b", 2))
    _lay(partition, KEY)
    last = _lay(partition, KEY, old=Assigned("c", 3), new=Assigned("a", 3))
    seen = {"old": Assigned("c", 3), "kept": Assigned("a", 1), "new": Assigned("a", 3)}
    assert partition.assigned(KEY, customer) == seen
    assert partition.assigned(KEY, None) == {"old": Assigned("c", 3), "new": Assigned("a", 3)}
    assert customer.assigned == {"old": Assigned("a", 1), "kept": Assigned("a", 1)}
    partition.overlays.folded(first)
    assert partition.assigned(KEY, customer) == seen
    partition.overlays.folded(last)
    assert partition.assigned(KEY, customer) == customer.assigned


def test_assignments_and_the_experiment_of_a_recommendation_are_stored() -> None:
    customer = Customer("t", "ann")
    customer.assigned = {"e": Assigned("b", 5, 6, 7)}
    recommendation = Recommendation("r", 1, "f", (), None, "race", "challenger")
    customer.recommendations.append(recommendation)
    stored = dict(changes_of(customer))
    loaded = load_customer(KEY, stored.get)
    assert loaded is not None
    assert loaded.assigned == customer.assigned
    assert loaded.recommendations.entries == [recommendation]
