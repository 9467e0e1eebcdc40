"""What a partition asks of the owners of its budgets: in slices, who waits first, whatever the clock did."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from agents import leasing
from agents.leasing import PART, RELEASE_AGAIN_MS, Leasing
from app.decision.catalogue import CatalogSnapshot
from app.decision.notices import Granted, Released, Wanted, decode_notice
from app.decision.validation import load_entity
from config.metrics import new_metrics
from tables.partition import Partition

NOW_MS = 1_800_000_000_000
TODAY = "2027-01-15"
DAY_MS = 86_400_000


class Told:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.notices: list[Any] = []

    async def publish(self, topic: str, key: bytes, value: bytes, partition: int | None = None) -> int:
        self.notices.append(decode_notice(value))
        return len(self.notices)

    def take(self) -> list[Any]:
        taken, self.notices = self.notices, []
        return taken


class Bench:
    """One partition of four, whose catalogue has so many offers with these budgets."""

    def __init__(self, budget: dict[str, Any], offers: Iterable[str] = ("o1",)) -> None:
        self.partition = Partition(0, 10, 10, new_metrics())
        self.told = Told()
        self.leasing = Leasing(self.partition, 4, self.told, new_metrics())  # type: ignore[arg-type]
        changes = {}
        for name in offers:
            offer = load_entity("offers", {"id": name, "name": "O", "categoryId": "c", "budget": budget})
            assert not isinstance(offer, list), offer
            changes["offers", name] = offer
        self.catalogue = CatalogSnapshot().with_changes("shop", changes, 1)

    async def tend(self, now_ms: int = NOW_MS) -> list[Any]:
        await self.leasing.tend(self.catalogue, now_ms)
        return self.told.take()

    def grant(self, name: str, granted: int, period: str = TODAY) -> None:
        self.partition.leases.hear(Granted("shop", f"offer/{name}", period, granted), TODAY, NOW_MS)

    def starve(self, name: str) -> None:
        """A decision finds nothing left."""
        tenant = self.catalogue.tenant("shop")
        assert self.partition.budgets_of(tenant, NOW_MS).room(f"offer/{name}") == 0


@pytest.mark.parametrize("ahead_ms", [1_000, 3_600_000, 2 * DAY_MS])
async def test_a_clock_that_was_ahead_holds_nothing_up(ahead_ms: int) -> None:
    bench = Bench({"maxPerDay": 100})
    await bench.tend(NOW_MS + ahead_ms)
    for _ in range(3):
        bench.starve("o1")
    assert [(one.key, one.period, one.short) for one in await bench.tend()] == [("offer/o1", TODAY, 1)]


async def test_a_release_is_sent_again_although_the_clock_was_ahead() -> None:
    bench = Bench({"maxPerDay": 100})
    bench.grant("o1", 5)
    bench.partition.leases.recall((b"shop:offer/o1", TODAY))
    assert [type(one) for one in await bench.tend(NOW_MS + DAY_MS // 2)][:1] == [Released]
    assert Released in [type(one) for one in await bench.tend()]
    assert await bench.tend(NOW_MS + RELEASE_AGAIN_MS - 1) == []
    assert [type(one) for one in await bench.tend(NOW_MS + RELEASE_AGAIN_MS)] == [Released]


async def test_requests_go_out_in_bounded_slices() -> None:
    bench, most = Bench({"maxPerDay": 100}, [f"o{n}" for n in range(500)]), 0
    tending, before = asyncio.ensure_future(bench.leasing.tend(bench.catalogue, NOW_MS)), 0
    while not tending.done():
        await asyncio.sleep(0)
        most, before = max(most, len(bench.told.notices) - before), len(bench.told.notices)
    assert len({one.key for one in bench.told.notices}) == len(bench.told.notices) == 500
    assert most <= PART


async def test_looking_at_budgets_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"o{n}" for n in range(200)]
    bench, turns = Bench({"maxPerDay": 1_000_000}, names), 0
    for name in names:
        bench.grant(name, 1)
        bench.grant(name, 1_000)
    # Each slice is used up at once.
    monkeypatch.setattr(leasing, "SLICE_S", -1.0)
    tending = asyncio.ensure_future(bench.leasing.tend(bench.catalogue, NOW_MS))
    while not tending.done():
        await asyncio.sleep(0)
        turns += 1
    assert bench.told.notices == []
    assert turns >= 2 * len(names)


async def test_who_has_customers_waiting_asks_first() -> None:
    bench = Bench({"maxPerDay": 100}, [f"o{n}" for n in range(100)])
    bench.partition.leases.low.update({f"shop:offer/o{n}".encode(): None for n in range(100)})
    bench.starve("o77")
    bench.starve("o42")
    first = [one.key for one in (await bench.tend())[:PART]]
    assert {"offer/o77", "offer/o42"} <= set(first)


async def test_a_request_is_repeated_ever_more_slowly_until_it_is_granted() -> None:
    bench = Bench({"maxPerDay": 100})
    asked_ms = [at for at in range(0, 5_000, 20) if await bench.tend(NOW_MS + at)]
    assert asked_ms == [0, 300, 900, 2_100, 4_500]
    bench.grant("o1", 10)
    assert [await bench.tend(NOW_MS + at) for at in range(5_000, 70_000, 1_000)] == [[]] * 65


async def test_what_is_asked_for_is_of_the_active_only() -> None:
    bench = Bench({"maxPerDay": 100})
    paused = load_entity(
        "offers",
        {"id": "o2", "name": "O", "categoryId": "c", "status": "paused", "budget": {"maxPerDay": 1}},
    )
    assert not isinstance(paused, list), paused
    bench.catalogue = bench.catalogue.with_changes("shop", {("offers", "o2"): paused}, 2)
    assert await bench.tend() == [Wanted("shop", "offer/o1", TODAY, 0, 0, 0)]
