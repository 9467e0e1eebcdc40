"""Golden decisions: whole catalogues and customers as data, and what must come of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView, PlacementRequest
from app.decision.metrics import observe
from app.decision.shared import Shared
from app.decision.state import Assigned, Contact, ContactTotal, Profile, Suppression, Window
from tests.decision.building import NOW_MS, decided, tenant, verdict

GOLDEN = Path(__file__).parents[1] / "golden" / "decision"


def cases() -> Iterator[Any]:
    """Every case of every file, with its catalogue; a case may add contact policies of its own."""
    for path in sorted(GOLDEN.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in document["cases"]:
            own = [{"id": "p", "name": "p", **policy} for policy in case.get("policies", [])]
            catalogue = dict(document["catalogue"])
            if own:
                catalogue["contact-policies"] = [*catalogue.get("contact-policies", []), *own]
            yield pytest.param(catalogue, case, id=f"{path.stem}: {case['name']}")


def instant_ms(at: int | str | datetime, now_ms: int) -> int:
    """An instant of a case: an age in ms, or an instant with its offset."""
    if isinstance(at, int):
        return now_ms - at
    parsed = datetime.fromisoformat(at) if isinstance(at, str) else at
    return round(parsed.timestamp() * 1_000)


def standing(
    catalogue: TenantCatalogue, creative_id: str, placement_id: str | None = None
) -> tuple[Any, ...]:
    """What a contact says beside its time."""
    creative = catalogue.creative(creative_id)
    assert creative is not None
    offer = catalogue.offer(creative.offer_id)
    assert offer is not None
    return (offer.id, creative.id, creative.channel_id, offer.category_id, placement_id)


def customer_of(body: dict[str, Any], catalogue: TenantCatalogue, now_ms: int) -> CustomerView:
    """The customer of a case.

    Metrics are ages of events; contacts [when, creative, placement]; totals [first, last, count, creative];
    suppressions [policy, dimension, id, until]; assigned by experiment [variant, age].
    """
    windows: dict[str, Window] = {}
    for key, ages in body.get("metrics", {}).items():
        for age_ms in sorted(ages, reverse=True):
            observe(windows, catalogue.metrics[key], now_ms - age_ms, 1.0)
    return CustomerView(
        body.get("id", "ann"),
        Profile(**body.get("profile", {})),
        windows,
        [
            Contact(instant_ms(at, now_ms), *standing(catalogue, *where))
            for at, *where in body.get("contacts", [])
        ],
        [
            ContactTotal(
                instant_ms(first, now_ms), instant_ms(last, now_ms), count, *standing(catalogue, one)
            )
            for first, last, count, one in body.get("totals", [])
        ],
        [
            Suppression("s", policy, dimension, entity_id, "dismiss", 0, instant_ms(until, now_ms))
            for policy, dimension, entity_id, until in body.get("suppressions", [])
        ],
        assigned={one: Assigned(key, now_ms - age) for one, (key, age) in body.get("assigned", {}).items()},
    )


class Rooms:
    """What is left of each budget; nothing of those not named."""

    def __init__(self, rooms: dict[str, int]) -> None:
        self._rooms = rooms

    def room(self, key: str, /) -> int:
        return self._rooms.get(key, 0)


@pytest.mark.parametrize(("documents", "case"), list(cases()))
def test_golden(documents: dict[str, Any], case: dict[str, Any]) -> None:
    catalogue = tenant(documents)
    now_ms = instant_ms(case["now"], NOW_MS) if "now" in case else NOW_MS
    request = dict(case["request"])
    request["placements"] = tuple(PlacementRequest(*one) for one in request.get("placements", []))
    for name in ("exclude_offers", "exclude_creatives"):
        request[name] = frozenset(request.get(name, []))
    customer = customer_of(case.get("customer", {}), catalogue, now_ms)
    shared = Shared(budgets=Rooms(case.get("budgets", {})))
    result = decided(catalogue, customer, now_ms, shared, **request)
    got = [
        [
            one.rank,
            one.creative_id,
            pytest.approx(one.score),
            *([one.placement_id] if one.placement_id else []),
        ]
        for one in result.decisions
    ]
    if "chosen" in case:
        assert [one.creative_id for one in result.decisions] == case["chosen"]
    else:
        assert got == case["decisions"]
        funnel = [result.total_candidates, result.after_qualification, result.after_contact_policy]
        assert funnel == case["funnel"]
    assert result.removals == case["removals"]
    if "content" in case:
        assert result.decisions[0].content == case["content"]
    for creative_id, wanted in case.get("reasons", {}).items():
        found = verdict(result, creative_id)
        assert [found.stage, found.rule_id, found.numbers] == wanted
    if "experiments" in case:
        shown = [one.experiment for one in result.decisions]
        assert [one and [one.experiment_id, one.variant, one.weight] for one in shown] == case["experiments"]
        assert result.assigned == case["assigned"]
