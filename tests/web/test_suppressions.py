"""DELETE /customers/{id}/suppressions/{sid} as far as it goes without Kafka."""

from __future__ import annotations

import pytest

from app.decision.state import Suppression
from tables.layout import customer_key
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker

ANN = "/api/v1/customers/ann/suppressions"


def suppress(worker: Worker) -> None:
    worker.know("ann")
    worker.partition_for("ann").open(customer_key(TENANT, "ann")).suppressions = [
        Suppression("s1", "pol", "global", "", "complaint", NOW_MS, NOW_MS + 1_000)
    ]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        (f"{ANN}/s2", 404, "suppressionId"),
        ("/api/v1/customers/bob/suppressions/s1", 404, "suppressionId"),
        (f"{ANN}/{'x' * 1_000}", 404, "suppressionId"),
        (f"/api/v1/customers/{'x' * 257}/suppressions/s1", 400, "customerId"),
    ],
)
async def test_what_does_not_hold_is_404(
    client: Client, worker: Worker, path: str, status: int, field: str
) -> None:
    suppress(worker)
    response = await client.delete(path, headers=HEADERS)
    assert (response.status, (await response.json())["details"][0]["field"]) == (status, field)


async def test_one_that_is_over_does_not_hold(client: Client, worker: Worker) -> None:
    suppress(worker)
    worker.now_ms += 1_000
    assert (await client.delete(f"{ANN}/s1", headers=HEADERS)).status == 404


async def test_another_tenants_is_404(client: Client, worker: Worker) -> None:
    suppress(worker)
    assert (await client.delete(f"{ANN}/s1", headers={"X-Tenant-Id": "rival"})).status == 404


async def test_without_kafka_it_holds_on(client: Client, worker: Worker) -> None:
    suppress(worker)
    response = await client.delete(f"{ANN}/s1", headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
    shown = await (await client.get("/api/v1/customers/ann", headers=HEADERS)).json()
    assert [one["id"] for one in shown["suppressions"]] == ["s1"]
