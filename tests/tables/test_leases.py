"""A partition's leases: what decisions may spend, what its fold gives back, and what a new taking keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.decision.budgets import TOTAL
from app.decision.catalogue import TenantCatalogue, compile_tenant
from app.decision.deliveries import Delivery
from app.decision.notices import Granted, Released
from app.decision.state import Contact, Recommendation
from app.decision.validation import load_entity
from config.metrics import new_metrics
from tables.overlays import Overlay
from tables.partition import Partition
from tables.store import PartitionStore, StoreMemory

NOW_MS = 1_800_000_000_000
TODAY = "2027-01-15"
NAME = b"shop:offer/o1"
ACCOUNT = (NAME, TOTAL)


def tenant(budget: dict[str, Any]) -> TenantCatalogue:
    offer = load_entity("offers", {"id": "o1", "name": "O", "categoryId": "c", "budget": budget})
    assert not isinstance(offer, list), offer
    return compile_tenant("shop", {("offers", "o1"): offer})


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Partition]:
    partition = Partition(0, 100, 100, new_metrics())
    store = PartitionStore(tmp_path / "0.db", StoreMemory(8 << 20, 4 << 20))
    partition.attach(store)
    yield partition
    store.close()


def write(partition: Partition) -> None:
    batch = partition.seal(NOW_MS, 1)
    assert partition.store is not None
    first = partition.store.offset + 1
    partition.written(batch, first, first + len(batch.changes) - 1)


def grant(partition: Partition, granted: int, period: str = TOTAL) -> None:
    partition.leases.hear(Granted("shop", "offer/o1", period, granted), TODAY, NOW_MS)


def spend(partition: Partition, count: int = 1, at_ms: int = NOW_MS) -> bool:
    return partition.leases.spend(NAME, TODAY, Delivery(at_ms, "o1", "c1", count), TODAY, NOW_MS)


def room(partition: Partition, budget: dict[str, Any] | None = None) -> int:
    return partition.budgets_of(tenant(budget or {"maxTotal": 100}), NOW_MS).room("offer/o1")


def overlay(sequence: int) -> Overlay:
    contact = Contact(NOW_MS, "o1", "c1", "push", "music")
    return Overlay(sequence, b"shop:C1", Recommendation("r", NOW_MS, "f", ()), (contact,))


def release(partition: Partition, deliveries: int, number: int, holder: str | None = None) -> Released:
    name = partition.leases.holder if holder is None else holder
    return Released("shop", "offer/o1", TOTAL, deliveries, 5, name, number)


def test_without_a_grant_there_is_no_room_and_the_key_is_hungry(partition: Partition) -> None:
    assert room(partition) == 0
    assert NAME in partition.leases.hungry
    assert partition.leases.woken.is_set()


def test_room_is_the_lease_less_what_is_folded_and_under_way(partition: Partition) -> None:
    grant(partition, 5)
    assert room(partition) == 5
    spend(partition)
    partition.overlays.add(overlay(1))
    partition.overlays.add(overlay(2))
    assert room(partition) == 2
    partition.overlays.folded(1)
    spend(partition)
    assert room(partition) == 2
    partition.overlays.withdraw(2)
    assert room(partition) == 3


def test_the_day_and_the_total_bound_each_for_itself(partition: Partition) -> None:
    both = {"maxTotal": 100, "maxPerDay": 10}
    grant(partition, 5)
    assert room(partition, both) == 0
    grant(partition, 3, TODAY)
    assert room(partition, both) == 3
    assert room(partition, {"maxPerDay": 10}) == 3


def test_a_limit_lowered_below_the_lease_holds_here(partition: Partition) -> None:
    grant(partition, 5)
    spend(partition)
    assert room(partition, {"maxTotal": 3}) == 2
    assert room(partition, {"maxTotal": 0}) == 0


def test_what_is_reported_beyond_the_lease_is_spent_and_told(partition: Partition) -> None:
    grant(partition, 1)
    assert not spend(partition)
    assert spend(partition)
    assert (room(partition), partition.leases.left(ACCOUNT)) == (0, -1)


def test_a_reservation_from_before_the_budget_gives_nothing_back(partition: Partition) -> None:
    grant(partition, 2)
    spend(partition)
    spend(partition, -1, NOW_MS - 1)
    assert room(partition) == 1
    spend(partition, -1)
    assert room(partition) == 2


def test_a_release_counts_once_and_only_for_its_own_taking(partition: Partition) -> None:
    grant(partition, 5)
    assert partition.leases.release(release(partition, 3, 1, "another"), TODAY, NOW_MS) is None
    partition.leases.releasing[ACCOUNT] = release(partition, 3, 1)
    assert room(partition) == 2
    told = partition.leases.release(release(partition, 3, 1), TODAY, NOW_MS)
    assert told is not None
    assert (told.returned, told.granted) == (3, 5)
    assert room(partition) == 2
    assert partition.leases.release(release(partition, 3, 1), TODAY, NOW_MS) is None
    assert room(partition) == 2


def test_a_new_taking_has_what_was_written(partition: Partition) -> None:
    grant(partition, 5)
    spend(partition)
    write(partition)
    spend(partition)
    holder, store = partition.leases.holder, partition.store
    assert store is not None
    partition.attach(store)
    assert partition.leases.left(ACCOUNT) == 4
    assert partition.leases.holder != holder
    assert partition.dirty is False
