"""GET /decision-traces/{id}."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.decision.catalogue import CatalogSnapshot
from app.decision.records import DecisionMade, decode_decision
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Client, Worker, snapshot
from tests.web.test_recommend import made
from web.recommend_answer import render
from web.traces import sampled

LIST = "/api/v1/decision-traces"
DAY_MS = 86_400_000


def traced(worker: Worker) -> str:
    """The id of a decision's trace, kept as its fold does."""
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "channelId": "web", "trace": True})
    record = decode_decision(underway.record or b"")
    assert isinstance(record, DecisionMade)
    assert record.trace_id is not None
    worker.partition_for("ann").traces.keep(b"shop:ann", record.at_ms, record.trace_id, bytes(record.trace))
    return record.trace_id


async def test_a_trace_has_the_documented_shape(worker: Worker, client: Client) -> None:
    trace_id = traced(worker)
    response = await client.get(f"/api/v1/decision-traces/{trace_id}", headers=HEADERS)
    assert (response.status, response.content_type) == (200, "application/json")
    trace = await response.json()
    assert set(trace) == {
        "traceId", "customerId", "decisionFlowId", "stages", "totalDuration", "processedAt"
    }  # fmt: skip
    assert (trace["traceId"], trace["customerId"], trace["decisionFlowId"]) == (trace_id, "ann", "flow")
    assert [stage["name"] for stage in trace["stages"]] == ["enrich", "compute", "filter", "score", "rank"]
    assert trace["stages"][4]["finalOrder"] == ["vinyl", "tape"]
    assert trace["processedAt"] == "2027-01-15T08:00:00.000Z"


async def test_a_trace_is_its_tenants_own(worker: Worker, client: Client) -> None:
    trace_id = traced(worker)
    response = await client.get(f"/api/v1/decision-traces/{trace_id}", headers={"X-Tenant-Id": "rival"})
    assert response.status == 404


@pytest.mark.parametrize("days", [1, 7, 90])
async def test_a_trace_past_its_tenants_retention_is_gone(worker: Worker, client: Client, days: int) -> None:
    if days != 7:
        own = {"id": "settings", "traceRetentionDays": days}
        worker.catalogue = snapshot({**ENTITIES, "tenant-settings": [own]})
    trace_id = traced(worker)
    for after_ms, status in ((0, 200), (1, 404)):
        worker.now_ms = NOW_MS + days * DAY_MS + after_ms
        response = await client.get(f"/api/v1/decision-traces/{trace_id}", headers=HEADERS)
        assert response.status == status


@pytest.mark.parametrize(
    "trace_id",
    [
        "x",
        "trc_0_1a3185c5000_ffffffffffff",
        "rec_0_1a3185c5000_0123456789ab",
        "trc_ffff_1a3185c5000_0123456789ab",
    ],
)
async def test_ids_of_nothing_are_404(client: Client, trace_id: str) -> None:
    response = await client.get(f"/api/v1/decision-traces/{trace_id}", headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")


async def listed(client: Client, query: str, tenant: str = TENANT) -> tuple[int, Any]:
    """What a list answers."""
    response = await client.get(f"{LIST}{query}", headers={"X-Tenant-Id": tenant})
    return response.status, await response.json()


async def test_a_customers_traces_are_listed_newest_first_empty_decisions_too(
    worker: Worker, client: Client
) -> None:
    worker.know("ann")
    asked = {"customerId": "ann", "channelId": "web", "trace": True}
    full = made(worker, asked)
    made(worker, {"customerId": "ann", "channelId": "web"})
    worker.now_ms += 1_000
    empty = made(worker, {**asked, "excludeOffers": ["vinyl", "tape"]})
    status, body = await listed(client, "?customerId=ann")
    assert (status, body["customerId"], body["total"]) == (200, "ann", 2)
    assert body["decisionTraces"] == [
        {
            "id": empty.trace_id,
            "recommendationId": empty.recommendation_id,
            "decisionFlowId": "flow",
            "processedAt": "2027-01-15T08:00:01.000Z",
            "count": 0,
        },
        {
            "id": full.trace_id,
            "recommendationId": full.recommendation_id,
            "decisionFlowId": "flow",
            "processedAt": "2027-01-15T08:00:00.000Z",
            "count": 2,
        },
    ]
    status, second = await listed(client, "?customerId=ann&limit=1&offset=1")
    assert (second["decisionTraces"], second["total"]) == (body["decisionTraces"][1:], 2)
    assert (await listed(client, "?customerId=ann", "rival"))[1]["total"] == 0
    assert (await listed(client, "?customerId=nobody"))[1] == {
        "customerId": "nobody",
        "decisionTraces": [],
        "total": 0,
    }


async def test_traces_past_their_retention_are_not_listed(worker: Worker, client: Client) -> None:
    worker.know("ann")
    made(worker, {"customerId": "ann", "channelId": "web", "trace": True})
    worker.now_ms += 7 * DAY_MS + 1
    assert (await listed(client, "?customerId=ann"))[1]["total"] == 0


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {"customerId"}),
        ("?customerId=", {"customerId"}),
        ("?customerId=a&customerId=b", {"customerId"}),
        ("?customerId=ann&limit=0&offset=-1", {"limit", "offset"}),
        ("?customerId=ann&limit=201", {"limit"}),
        ("?customerId=ann&limit=1.5&offset=x", {"limit", "offset"}),
        ("?customerId=ann&limit=%D9%A1", {"limit"}),
    ],
)
async def test_bad_parameters_of_the_list_come_at_once(client: Client, query: str, fields: set[str]) -> None:
    status, body = await listed(client, query)
    assert (status, {detail["field"] for detail in body["details"]}) == (400, fields)


def sampling(rate: float) -> CatalogSnapshot:
    """The shop with a sample of traces."""
    return snapshot({**ENTITIES, "tenant-settings": [{"id": "settings", "traceSampleRate": rate}]})


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.3, 220, 380), (1.0, 1_000, 1_000)])
def test_the_tenants_sample_is_traced(worker: Worker, rate: float, least: int, most: int) -> None:
    worker.know("ann")
    worker.catalogue = sampling(rate)
    partition = worker.partition_for("ann")
    traces = 0
    for _ in range(1_000):
        underway = made(worker, {"customerId": "ann", "channelId": "web"})
        record = decode_decision(underway.record or b"")
        assert isinstance(record, DecisionMade)
        assert (record.trace_id is not None) == (underway.decided.trace is not None)
        assert sampled(worker.catalogue.tenant(TENANT), underway.recommendation_id) == bool(record.trace_id)
        traces += record.trace_id is not None
        partition.overlays.clear()
    assert least <= traces <= most


async def test_a_sampled_decision_names_its_trace(worker: Worker) -> None:
    worker.know("ann")
    worker.catalogue = sampling(1)
    underway = made(worker, {"customerId": "ann", "channelId": "web"})
    assert not underway.trace_asked, "nobody waits for its fold"
    answer = json.loads(render(underway, "ann", False, None))
    assert answer["traceId"] == underway.trace_id
    assert made(worker, {"customerId": "ann", "channelId": "web", "trace": True}).trace_asked
