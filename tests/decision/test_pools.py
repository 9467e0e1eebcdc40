"""Pools: kept whatever is in them, finitely many, made at a publish, and of shared candidates."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from app.decision import flow as flow_module
from app.decision.catalogue import CatalogSnapshot, TenantCatalogue
from app.decision.flow import CompiledFlow
from app.decision.index import EntityIndex
from tests.decision.building import SHOP, flow, loaded, merged, shop

FOOT = {"id": "foot", "name": "Foot", "channelId": "site", "maxSlots": 5}
CALL = {"id": "call", "name": "Call", "type": "call"}
CHANNELS = (None, "mail", "site", "call", "gone")
TYPES = (None, "email", "web", "call", "sms", "fax")
PLACEMENTS = (None, "hero", "foot", "gone")


def flow_of(catalogue: TenantCatalogue) -> CompiledFlow:
    found = catalogue.resolve_flow(None, None, None)
    assert found is not None
    return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The creatives that candidates were made of, in order, from now on."""
    found: list[str] = []
    make = CompiledFlow.candidate

    def counted(self: CompiledFlow, *args: Any) -> Any:
        found.append(args[1].id)
        return make(self, *args)

    monkeypatch.setattr(flow_module.CompiledFlow, "candidate", counted)
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        (None, None, None),
        ("mail", None, None),
        ("call", None, None),
        (None, "call", None),
        (None, None, "foot"),
        ("site", "web", "hero"),
        ("mail", None, "hero"),
    ],
)
def test_a_pool_is_built_once_also_when_nothing_is_in_it(wanted: tuple[Any, Any, Any]) -> None:
    asked = flow_of(shop(channels=[CALL], placements=[FOOT], creatives=[]))
    assert asked.pool(*wanted) is asked.pool(*wanted)


def test_no_more_pools_are_kept_than_there_are_channels_types_and_placements() -> None:
    asked = flow_of(shop(channels=[CALL], placements=[FOOT]))
    pools = {id(pool): pool for pool in (asked.pool(*one) for one in _all_wanted())}
    assert len(pools) <= 1 + 3 + 3 + 2 + 1  # all, channels, types, placements, and nothing
    assert asked.pool(None, "fax", None) is asked.pool("gone", None, None)


def _all_wanted() -> list[tuple[str | None, str | None, str | None]]:
    return list(itertools.product(CHANNELS, TYPES, PLACEMENTS))


@pytest.mark.parametrize("wanted", _all_wanted())
def test_a_pool_holds_what_each_of_the_three_lets_through(wanted: tuple[Any, Any, Any]) -> None:
    channel_id, channel_type, placement_id = wanted
    homes = {"card-mail": "mail", "house-mail": "mail", "car-mail": "mail", "card-site": "site"}
    homes["house-site"] = "site"
    types = {"mail": "email", "site": "web"}
    at = {None: set(homes), "hero": {"card-site", "house-site"}, "foot": {"house-site"}, "gone": set()}
    pool = flow_of(shop(channels=[CALL], placements=[FOOT])).pool(*wanted)
    assert {one.creative.id for one in pool.candidates} == {
        creative_id
        for creative_id, home in homes.items()
        if creative_id in at[placement_id]
        and channel_id in (None, home)
        and channel_type in (None, types[home])
    }
    assert {one.id for one in pool.channels} == {homes[one.creative.id] for one in pool.candidates}


def test_a_candidate_is_made_once_for_all_pools(made: list[str]) -> None:
    asked = flow_of(
        shop(decision_flows=flow(fallbackOfferIds=["card"], latencyBudgetMs=50), placements=[FOOT])
    )
    for wanted, fallback in itertools.product(_all_wanted(), (False, True)):
        asked.pool(*wanted, fallback)
    # The house's creative on the site has no placement: it stands at none, at hero and at foot.
    assert sorted(made) == sorted([one["id"] for one in SHOP["creatives"]] + 2 * ["house-site"])


def test_no_request_after_a_publish_makes_a_candidate(made: list[str]) -> None:
    changes = loaded(merged(placements=[FOOT]))
    published = CatalogSnapshot().with_changes("t", changes, 1).tenant("t")
    assert made
    made.clear()
    for wanted in _all_wanted():
        flow_of(published).pool(*wanted)
    assert made == []


@pytest.mark.parametrize(("room", "left", "made_first"), [(0, 0, 0), (1, 0, 5), (1_000, 1_000 - 18, 7)])
def test_warming_stops_when_its_room_is_used_up(
    made: list[str], room: int, left: int, made_first: int
) -> None:
    """All 5; by mail 3, on the site 2, the same by type; at foot 1, at hero 2."""
    assert flow_of(shop(placements=[FOOT])).warm(room) == left
    assert len(made) == made_first


def test_what_an_inventory_lists_is_resolved_once_for_all_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    resolve = EntityIndex.id_of

    def counted(self: EntityIndex, kind: str, reference: str) -> str | None:
        asked.append(reference)
        return resolve(self, kind, reference)

    monkeypatch.setattr(EntityIndex, "id_of", counted)
    ids = ["card", "house", "car"]
    catalogue = shop(decision_flows=flow(inventory={"scope": "offers", "ids": ids}))
    asked.clear()
    CompiledFlow(flow_of(catalogue).definition, catalogue, flow_of(catalogue).surroundings)
    assert [one for one in asked if one in ids] == ids
