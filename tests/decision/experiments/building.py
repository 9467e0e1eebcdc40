"""The shop with two mails for its card under an experiment, and customers of each variant."""

from __future__ import annotations

from typing import Any

from app.decision.catalogue import TenantCatalogue
from app.decision.decide import CustomerView
from app.decision.experiments.assignment import arm_of
from app.decision.experiments.compiled import CompiledExperiment
from app.decision.state import DAY_MS, Assigned
from tests.decision.building import NOW_MS, SHOP, shop

#: Another mail of the card, under the experiment; and a third that is not.
CREATIVES = [
    {"id": "card-mail-b", "name": "b", "offerId": "card", "channelId": "mail"},
    {"id": "card-mail-c", "name": "c", "offerId": "card", "channelId": "mail"},
]
#: The offer and channel have keys here, so that references by key are met everywhere.
OFFERS = [{**offer, "key": f"k-{offer['id']}"} for offer in SHOP["offers"]]


def between_creatives(**fields: Any) -> dict[str, Any]:
    """An active experiment, half card-mail (control `a`), half card-mail-b (`b`)."""
    return {
        "id": "exp",
        "key": "cta",
        "status": "active",
        "target": "creative",
        "offerId": "k-card",
        "variants": [
            {"key": "a", "weight": 50, "creativeId": "card-mail"},
            {"key": "b", "weight": 50, "creativeId": "card-mail-b"},
        ],
        "controlVariant": "a",
        **fields,
    }


def between_scorings(**fields: Any) -> dict[str, Any]:
    """An active experiment: control by the flow's own scoring, the other by the formula method."""
    return {
        "id": "race",
        "key": "champion",
        "status": "active",
        "target": "scoring",
        "variants": [
            {"key": "champion", "weight": 50},
            {
                "key": "challenger",
                "weight": 50,
                "scoring": {"method": "expression", "expression": CHALLENGER},
            },
        ],
        "controlVariant": "champion",
        **fields,
    }


#: The lowest priority first.
CHALLENGER = "1 - score.priority / 100"
#: A flow that names the experiment between scorings by its key.
RACING = {"id": "flow", "name": "Flow", "status": "active", "default": True, "experimentId": "champion"}


def experimenting(*experiments: dict[str, Any], **more: Any) -> TenantCatalogue:
    """The shop with these experiments."""
    creatives = [*CREATIVES, *more.pop("creatives", [])]
    return shop(offers=OFFERS, creatives=creatives, experiments=list(experiments), **more)


def compiled(catalogue: TenantCatalogue, experiment_id: str = "exp") -> CompiledExperiment:
    """An experiment of the catalogue, which must have it."""
    found = catalogue.experiments.get(experiment_id)
    assert found is not None
    return found


def customer_in(experiment: CompiledExperiment, variant: str | None, nth: int = 0) -> CustomerView:
    """A customer whom the experiment gives this variant; None for one it holds out."""
    for number in range(10_000):
        arm = arm_of(experiment, f"customer-{number}", {}, NOW_MS)
        if (arm.variant.key if arm.variant is not None else None) == variant:
            if nth == 0:
                return CustomerView(f"customer-{number}")
            nth -= 1
    raise AssertionError(f"nobody is in {variant}")


def assigned_before(
    customer: CustomerView, experiment_id: str, variant: str, age_ms: int = DAY_MS
) -> CustomerView:
    """The customer with an assignment so old."""
    assigned = {experiment_id: Assigned(variant, NOW_MS - age_ms)}
    return CustomerView(customer.customer_id, assigned=assigned)
