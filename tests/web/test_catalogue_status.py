"""What is not active takes no part in decisions, of whichever kind; made active again it does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.harness import HEADERS, Client, Worker
from tests.web.test_catalogue import call

Body = dict[str, Any]

#: Two offers on the web; what the flow does beside is in each case.
BASE: dict[str, list[Body]] = {
    "categories": [{"id": "cat", "name": "Music"}, {"id": "sub", "name": "Jazz", "parentId": "cat"}],
    "channels": [{"id": "web", "name": "Web", "type": "web"}],
    "placements": [{"id": "hero", "name": "Hero", "channelId": "web", "maxSlots": 5}],
    "offers": [
        {"id": "vinyl", "name": "Vinyl", "categoryId": "cat", "subCategoryId": "sub"},
        {"id": "tape", "name": "Tape", "categoryId": "cat"},
    ],
    "creatives": [
        {"id": "vinyl-web", "name": "V", "offerId": "vinyl", "channelId": "web", "placementId": "hero"},
        {"id": "tape-web", "name": "T", "offerId": "tape", "channelId": "web", "placementId": "hero"},
    ],
    "behavioral-metrics": [{"id": "n", "key": "n", "aggregate": "count", "eventTypes": ["purchase"]}],
    "segments": [{"id": "all", "name": "S", "filter": {"field": "customer.gone", "operator": "not_exists"}}],
    "decision-flows": [
        {"id": "flow", "name": "F", "status": "active", "default": True},
        {"id": "other", "name": "O", "status": "active", "inventory": {"scope": "offers", "ids": ["tape"]}},
    ],
}
NOTHING: list[str] = []
BOTH = ["tape", "vinyl"]
BLOCKED = {"scopes": [{"scope": "offer", "id": "vinyl"}]}

#: kind, an entity beside BASE, the id to switch off, the offers decided with it on and off.
CASES: list[tuple[str, Body | None, str, list[str], list[str]]] = [
    ("offers", None, "vinyl", BOTH, ["tape"]),
    ("creatives", None, "vinyl-web", BOTH, ["tape"]),
    ("categories", None, "sub", BOTH, ["tape"]),
    ("categories", None, "cat", BOTH, NOTHING),
    ("placements", None, "hero", BOTH, NOTHING),
    ("channels", None, "web", BOTH, NOTHING),
    ("decision-flows", None, "flow", BOTH, ["tape"]),
    (
        "qualification-rules",
        {
            "id": "r",
            "name": "R",
            "kind": "attribute_condition",
            "config": {"field": "customer.tier", "operator": "eq", "value": "gold"},
            **BLOCKED,
        },
        "r",
        ["tape"],
        BOTH,
    ),
    (
        "contact-policies",
        {
            "id": "p",
            "name": "P",
            "kind": "segment_exclusion",
            "config": {"segmentIds": ["all"]},
            **BLOCKED,
        },
        "p",
        ["tape"],
        BOTH,
    ),
]


async def _decided(client: Client) -> list[str]:
    body = {"customerId": "ann", "channelId": "web", "limit": 10}
    status, answer, _ = await call(client, "POST", "/simulate", body)
    assert status in (200, 400), answer
    return sorted(one["offerId"] for one in answer.get("decisions", ()))


async def _import(client: Client, document: dict[str, list[Body]]) -> None:
    headers = {**HEADERS, "Content-Type": "application/json"}
    async with client.post("/api/v1/catalog/import", data=json.dumps(document), headers=headers) as response:
        assert response.status == 200, await response.text()


@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
@pytest.mark.parametrize(
    ("kind", "extra", "entity_id", "on", "off"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES]
)
async def test_only_what_is_active_takes_part(
    worker: Worker,
    client: Client,
    kind: str,
    extra: Body | None,
    entity_id: str,
    on: list[str],
    off: list[str],
    status: str,
) -> None:
    worker.know("ann")
    await _import(client, {**BASE, kind: [*BASE.get(kind, ()), *([extra] if extra else ())]})
    assert await _decided(client) == on
    path = f"/{kind}/{entity_id}"
    entity = (await call(client, "GET", path))[1]
    assert (await call(client, "PUT", path, {**entity, "status": status}))[0] == 200
    assert await _decided(client) == off
    assert (await call(client, "PUT", path, {**entity, "status": "active", "version": 2}))[0] == 200
    assert await _decided(client) == on


async def test_settings_that_are_not_active_are_the_defaults(client: Client) -> None:
    await _import(client, {**BASE, "tenant-settings": [{"id": "s", "unknownCustomers": "allow"}]})
    for status, answered in (("active", 200), ("archived", 404), ("draft", 404), ("active", 200)):
        body = {"unknownCustomers": "allow", "status": status}
        assert (await call(client, "PUT", "/tenant-settings/s", body))[0] == 200
        assert (await call(client, "POST", "/simulate", {"customerId": "eve"}))[0] == answered


async def test_a_model_that_a_flow_decides_with_cannot_be_switched_off(client: Client) -> None:
    scoring = {"method": "propensity", "modelId": "m"}
    flow = {"id": "flow", "name": "F", "status": "active", "scoring": scoring}
    await _import(client, {"models": [{"id": "m", "key": "m", "kind": "thompson"}], "decision-flows": [flow]})
    body = {"kind": "thompson", "status": "archived"}
    status, answer, _ = await call(client, "PUT", "/models/m", body)
    assert (status, answer["details"][0]["field"]) == (409, "decision-flows[flow].scoring.modelId")
    assert (await call(client, "PUT", "/decision-flows/flow", {**flow, "status": "paused"}))[0] in (200, 409)


async def test_an_archived_outcome_type_is_still_known_to_late_responses(
    worker: Worker, client: Client
) -> None:
    borrow = {"id": "o", "key": "borrow", "classification": "positive", "status": "archived"}
    await _import(client, {"outcome-types": [borrow]})
    assert worker.catalogue.tenant("shop").outcome_type("borrow") is not None
