"""Golden decisions: whole catalogues and customers as data, and what must come of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView, PlacementRequest
from app.decision.metrics import observe
from app.decision.state import Assigned, Contact, Profile, Window
from tests.decision.building import NOW_MS, decided, tenant

GOLDEN = Path(__file__).parents[1] / "golden" / "decision"


def cases() -> Iterator[Any]:
    """Every case of every file, with its catalogue."""
    for path in sorted(GOLDEN.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for case in document["cases"]:
            yield pytest.param(document["catalogue"], case, id=f"{path.stem}: {case['name']}")


def customer_of(body: dict[str, Any], catalogue: TenantCatalogue) -> CustomerView:
    """The customer of a case: metrics as ages, contacts as [age, creative], assigned as [variant, age]."""
    windows: dict[str, Window] = {}
    for key, ages in body.get("metrics", {}).items():
        for age_ms in sorted(ages, reverse=True):
            observe(windows, catalogue.metrics[key], NOW_MS - age_ms, 1.0)
    contacts = []
    for age_ms, creative_id in body.get("contacts", []):
        creative = catalogue.creative(creative_id)
        assert creative is not None
        offer = catalogue.offer(creative.offer_id)
        assert offer is not None
        contacts.append(
            Contact(NOW_MS - age_ms, offer.id, creative.id, creative.channel_id, offer.category_id)
        )
    assigned = {one: Assigned(key, NOW_MS - age) for one, (key, age) in body.get("assigned", {}).items()}
    profile = Profile(**body.get("profile", {}))
    return CustomerView(body.get("id", "ann"), profile, windows, contacts, assigned=assigned)


@pytest.mark.parametrize(("documents", "case"), list(cases()))
def test_golden(documents: dict[str, Any], case: dict[str, Any]) -> None:
    catalogue = tenant(documents)
    request = dict(case["request"])
    request["placements"] = tuple(PlacementRequest(*one) for one in request.get("placements", []))
    for name in ("exclude_offers", "exclude_creatives"):
        request[name] = frozenset(request.get(name, []))
    result = decided(catalogue, customer_of(case.get("customer", {}), catalogue), **request)
    got = [
        [
            one.rank,
            one.creative_id,
            pytest.approx(one.score),
            *([one.placement_id] if one.placement_id else []),
        ]
        for one in result.decisions
    ]
    assert got == case["decisions"]
    assert [result.total_candidates, result.after_qualification, result.after_contact_policy] == case[
        "funnel"
    ]
    assert result.removals == case["removals"]
    if "content" in case:
        assert result.decisions[0].content == case["content"]
    if "experiments" in case:
        shown = [one.experiment for one in result.decisions]
        assert [one and [one.experiment_id, one.variant, one.weight] for one in shown] == case["experiments"]
        assert result.assigned == case["assigned"]
