"""GET /customers/{id}/eligibility."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tables.standby import Standby
from tests.web.harness import ENTITIES, HEADERS, PARTITIONS, Client, Worker, running, snapshot

PATH = "/api/v1/customers/ann/eligibility"

RULE = {
    "id": "adults",
    "name": "Adults only",
    "kind": "attribute_condition",
    "scopes": [{"scope": "offer", "id": "vinyl"}],
    "config": {"field": "age", "operator": "gte", "value": 18},
}
PAUSED = {"id": "mug", "name": "Mug", "categoryId": "cat", "status": "paused"}


def changed() -> Any:
    """The shop with a rule and a paused offer."""
    return snapshot({**ENTITIES, "qualification-rules": [RULE], "offers": [*ENTITIES["offers"], PAUSED]})


async def asked(client: Client, query: str = "", path: str = PATH) -> tuple[int, Any]:
    """Status and body."""
    response = await client.get(path + query, headers=HEADERS)
    return response.status, await response.json()


async def test_every_offer_passes_or_says_why_not(worker: Worker, client: Client) -> None:
    worker.know("ann")
    worker.catalogue = changed()
    status, body = await asked(client, "?channelId=web")
    assert status == 200
    assert {name: body[name] for name in ("customerId", "decisionFlowId", "processedAt", "total")} == {
        "customerId": "ann",
        "decisionFlowId": "flow",
        "processedAt": "2027-01-15T08:00:00.000Z",
        "total": 3,
    }
    mug, tape, vinyl = body["offers"]
    assert mug == {
        "offerId": "mug",
        "offerName": "Mug",
        "eligible": False,
        "creatives": [],
        "reasons": [
            {
                "stage": "inventory",
                "reason": "offer_status",
                "effect": "hard",
                "numbers": {"status": "paused"},
            },
            {
                "stage": "inventory",
                "reason": "no_creative",
                "effect": "hard",
                "numbers": {"channelId": "web"},
            },
        ],
    }
    assert (tape["eligible"], tape["reasons"]) == (True, [])
    assert vinyl["creatives"] == [
        {
            "creativeId": "vinyl-web",
            "creativeName": "Vinyl banner",
            "channelId": "web",
            "placementId": None,
            "eligible": False,
            "reasons": [
                {
                    "stage": "qualify",
                    "reason": "attribute_condition",
                    "effect": "hard",
                    "ruleId": "adults",
                    "ruleName": "Adults only",
                    "numbers": {"field": "customer.age", "operator": "gte", "expected": 18, "actual": None},
                }
            ],
        }
    ]


@pytest.mark.parametrize(
    ("query", "offers"),
    [
        ("", ["mug", "tape", "vinyl"]),
        ("?limit=1", ["mug"]),
        ("?limit=2&offset=1", ["tape", "vinyl"]),
        ("?offset=3", []),
        ("?offerId=tape", ["tape"]),
        ("?decisionFlowKey=main&placement=hero&channel=web&unheardOf=1", ["mug", "tape", "vinyl"]),
    ],
)
async def test_pages_and_parameters(worker: Worker, client: Client, query: str, offers: list[str]) -> None:
    worker.know("ann")
    worker.catalogue = changed()
    status, body = await asked(client, query)
    assert (status, [one["offerId"] for one in body["offers"]]) == (200, offers)
    assert body["total"] == (1 if "offerId" in query else 3)


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("?limit=0&offset=x&channelId=nowhere", {"limit", "offset", "channelId"}),
        ("?limit=201", {"limit"}),
        ("?placement=nowhere&channel=nowhere", {"placement", "channel"}),
        ("?decisionFlowId=flow&decisionFlowKey=main", {"decisionFlowKey"}),
        ("?channel=web&channel=push", {"channel"}),
        ("?channelId=", {"channelId"}),
        ("?channelId=%ED%A0%80", {"channelId"}),
    ],
)
async def test_all_bad_parameters_come_at_once(client: Client, query: str, fields: set[str]) -> None:
    status, body = await asked(client, query)
    assert (status, {detail["field"] for detail in body["details"]}) == (400, fields)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{PATH}?decisionFlowId=nothing", "decisionFlowId"),
        (f"{PATH}?decisionFlowId=draft", "decisionFlowId"),
        (f"{PATH}?offerId=nothing", "offerId"),
        ("/api/v1/customers/bob/eligibility", "customerId"),
    ],
)
async def test_what_is_not_there_is_404(worker: Worker, client: Client, path: str, field: str) -> None:
    worker.know("ann")
    status, body = await asked(client, path=path)
    assert (status, body["details"][0]["field"]) == (404, field)


async def test_a_flow_may_allow_unknown_customers(client: Client) -> None:
    status, body = await asked(client, "?decisionFlowId=open", "/api/v1/customers/bob/eligibility")
    assert (status, body["decisionFlowId"]) == (200, "open")


async def test_another_workers_customer_is_asked_there_with_the_whole_query(tmp_path: Path) -> None:
    with running(tmp_path / "owner") as owner:
        owner.know("ann")
        other = Worker(tmp_path / "other")
        async with owner.client("owner") as at_owner, other.client("other") as client:
            other.owners = dict.fromkeys(range(PARTITIONS), str(at_owner.make_url("/")).rstrip("/"))
            status, body = await asked(client, "?limit=1&offset=1")
    assert (status, [one["offerId"] for one in body["offers"]]) == (200, ["vinyl"])


async def test_a_copy_answers_flagged_while_the_owner_is_away(tmp_path: Path) -> None:
    with running(tmp_path / "owner") as owner:
        owner.know("ann")
        partition = owner.partition_for("ann")
        batch = partition.seal(owner.now_ms, 7)
        partition.written(batch, 0, len(batch.changes) - 1)
        assert partition.store is not None
        worker = Worker(tmp_path / "other")
        worker.catalogue = snapshot({**ENTITIES, "tenant-settings": [{"id": "s", "staleReads": True}]})
        copy = Standby(owner.number_for("ann"), partition.store)
        copy.note_end(copy.position, worker.now_ms, worker.now_ms)
        worker.standbys = {owner.number_for("ann"): copy}
        async with worker.client("other") as client:
            status, body = await asked(client)
    assert (status, body["degraded"], body["total"]) == (200, "stale_state", 2)
