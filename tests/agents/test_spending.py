"""What customers were shown, counted against budgets."""

from __future__ import annotations

from typing import Any

import pytest

from agents.notices import Notices
from app.decision.budgets import TOTAL
from app.decision.catalogue import CatalogSnapshot
from app.decision.deliveries import mark_contacts
from app.decision.fold import Clock
from app.decision.state import Contact, Customer
from app.decision.validation import load_entity
from config.metrics import new_metrics
from tables.partition import Partition

NOW_MS = 1_800_000_000_000


def catalogue(**offer: Any) -> CatalogSnapshot:
    loaded = load_entity("offers", {"id": "o1", "name": "O", "categoryId": "c", **offer})
    assert not isinstance(loaded, list), loaded
    return CatalogSnapshot().with_changes("shop", {("offers", "o1"): loaded}, 1)


@pytest.mark.parametrize(
    ("offer", "spent"),
    [
        ({"budget": {"maxTotal": 5}}, 1),
        ({"budget": {"maxTotal": 5}, "status": "paused"}, 1),
        ({"budget": {"maxTotal": 5}, "status": "archived"}, 1),
        ({"budget": {}}, 0),
    ],
)
def test_a_delivery_counts_whatever_the_status(offer: dict[str, Any], spent: int) -> None:
    metrics = new_metrics()
    partition = Partition(0, 10, 10, metrics)
    customer = Customer("shop", "C1")
    before = mark_contacts(customer)
    customer.contacts.append(Contact(NOW_MS, "o1", "c1", "web", "music"))
    Notices(partition, 4, metrics).spend(customer, before, Clock(NOW_MS, catalogue(**offer)))
    assert partition.leases.holding((b"shop:offer/o1", TOTAL)).spent == spent
