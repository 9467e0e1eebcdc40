"""The music shop that comes with the program."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence

import pytest

from app.decision.catalogue import TenantCatalogue, compile_tenant
from app.decision.decide import CustomerView, DecisionRequest, decide
from app.decision.entities import DOCUMENT_KINDS, Channel, Creative, Offer
from app.decision.metrics import observe
from app.decision.state import Profile, Window
from config.settings import Settings
from tables.catalogue_document import Document, read_document
from tables.catalogue_writer import CatalogueWriter
from tests.catalogue.building import reading, ready

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
CHANNELS = ("email", "push", "web")


@pytest.fixture(scope="module")
def document() -> Document:
    text = importlib.resources.files("config").joinpath("samples", "music-shop.yaml").read_bytes()
    return read_document(text)


@pytest.fixture(scope="module")
def shop(document: Document) -> TenantCatalogue:
    entities = {(entry.kind, entry.entity.id): entry.entity for entry in document.entries}
    return compile_tenant("demo", entities)


def customer(shop: TenantCatalogue, purchases: Sequence[tuple[int, int, float]]) -> CustomerView:
    """A customer who bought: days ago, CDs, US dollars."""
    windows: dict[str, Window] = {}
    for days_ago, cds, amount in purchases:
        for metric in shop.metrics_for("purchase"):
            value = {"cds": float(cds), "amount": amount}[metric.field[0]] if metric.field else 1.0
            observe(windows, metric, NOW_MS - days_ago * DAY_MS, value)
    return CustomerView("ann", metrics=windows)


def offers(shop: TenantCatalogue, view: CustomerView, channel_id: str, limit: int = 10) -> list[str]:
    flow = shop.resolve_flow(None, None, None)
    assert flow is not None
    request = DecisionRequest(limit=limit, channel_id=channel_id)
    return [one.offer_id for one in decide(flow, request, view, NOW_MS, "s", lambda: 0.0).decisions]


async def test_it_imports_cleanly(settings: Settings, document: Document) -> None:
    diff = await CatalogueWriter(settings).import_tenant("demo", document.entries, "test")
    assert len(diff.created) == len(document.entries)
    async with reading(settings) as reader:
        await ready(reader)
        flow = reader.snapshot.tenant("demo").resolve_flow(None, "web", None)
        assert flow is not None
        assert flow.flow_id == "music-shop"


def test_it_has_every_kind_but_outcomes_of_its_own_and_settings(shop: TenantCatalogue) -> None:
    assert {kind for kind, _ in shop.entities} == set(DOCUMENT_KINDS) - {"outcome-types", "tenant-settings"}
    assert len(shop.all("offers", Offer)) == 10
    assert sorted(shop.metrics) == [
        "amount_total",
        "cds_total",
        "clicks_30d",
        "purchases_365d",
        "purchases_total",
        "spend_90d",
    ]
    assert {channel.id: channel.implicit for channel in shop.all("channels", Channel)} == {
        "email": True,
        "push": True,
        "web": False,
    }


def test_every_offer_has_a_creative_on_every_channel(shop: TenantCatalogue) -> None:
    found = {(creative.offer_id, creative.channel_id) for creative in shop.all("creatives", Creative)}
    assert found == {(offer.id, channel) for offer in shop.all("offers", Offer) for channel in CHANNELS}


@pytest.mark.parametrize("channel_id", CHANNELS)
def test_new_customers_are_welcomed(shop: TenantCatalogue, channel_id: str) -> None:
    found = offers(shop, customer(shop, []), channel_id)
    assert found[0] == "welcome-discount"
    assert set(found) <= {
        "welcome-discount",
        "classics-box",
        "jazz-evening",
        "indie-picks",
        "live-recordings",
    }
    assert len(found) >= 3


@pytest.mark.parametrize("channel_id", CHANNELS)
def test_customers_gone_for_long_are_won_back(shop: TenantCatalogue, channel_id: str) -> None:
    found = offers(shop, customer(shop, [(500, 2, 30.0)]), channel_id)
    assert found[0] == "win-back-discount"
    assert "welcome-discount" not in found


def test_big_spenders_collectors_and_regulars_get_theirs(shop: TenantCatalogue) -> None:
    assert offers(shop, customer(shop, [(5, 1, 50.0)]), "web")[0] == "early-access"
    assert "vinyl-upgrade" in offers(shop, customer(shop, [(200, 5, 20.0)]), "web")
    assert "loyalty-credit" in offers(shop, customer(shop, [(200, 1, 5.0)] * 10), "web")
    assert "loyalty-credit" not in offers(shop, customer(shop, [(200, 1, 5.0)] * 9), "web")
    assert "early-access" not in offers(shop, customer(shop, [(120, 1, 500.0)]), "web")


def test_no_push_answer_passes_the_daily_cap(shop: TenantCatalogue) -> None:
    assert len(offers(shop, customer(shop, [(5, 5, 50.0)]), "push")) == 3


def test_content_names_the_customer_or_falls_back(shop: TenantCatalogue) -> None:
    flow = shop.resolve_flow(None, "email", None)
    assert flow is not None
    view = customer(shop, [(500, 2, 30.0)])
    request = DecisionRequest(limit=1, channel_id="email")
    unnamed = decide(flow, request, view, NOW_MS, "s", lambda: 0.0).decisions[0]
    assert unnamed.content["subject"] == "It has been a while, music lover"
    view.profile = Profile(attributes={"firstName": "Ann"})
    named = decide(flow, request, view, NOW_MS, "s", lambda: 0.0).decisions[0]
    assert named.content["subject"] == "It has been a while, Ann"
