"""GET /decision-traces/{id}."""

from __future__ import annotations

import pytest

from app.decision.records import DecisionMade, decode_decision
from tests.web.harness import HEADERS, NOW_MS, Client, Worker
from tests.web.test_recommend import made


def traced(worker: Worker) -> str:
    """The id of a decision's trace, kept as its fold does."""
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "channelId": "web", "trace": True})
    record = decode_decision(underway.record or b"")
    assert isinstance(record, DecisionMade)
    assert record.trace_id is not None
    worker.partition_for("ann").keep_trace(record.at_ms, record.trace_id, bytes(record.trace))
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


async def test_a_trace_past_its_retention_is_gone(worker: Worker, client: Client) -> None:
    trace_id = traced(worker)
    worker.now_ms = NOW_MS + worker.settings.trace_retention_ms + 1
    response = await client.get(f"/api/v1/decision-traces/{trace_id}", headers=HEADERS)
    assert response.status == 404


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
