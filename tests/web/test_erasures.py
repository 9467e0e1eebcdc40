"""DELETE /customers/{id} and GET /erasures/{id}, short of Kafka."""

from __future__ import annotations

from typing import Any

import pytest

from app.decision.erasing import erasure_id_of, new_erasure
from config.topics import CHANGELOG_GONE_MS, RAW_RETENTION_MS
from tables.layout import customer_hash, customer_key
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker
from web.errors import not_ready
from web.instants import iso_ms

ANN = "/api/v1/customers/ann"


def erased(worker: Worker, customer_id: str = "ann") -> str:
    """Erase a customer as the fold does; the id of the erasure."""
    worker.know(customer_id)
    partition = worker.partition_for(customer_id)
    customer = partition.open(customer_key(TENANT, customer_id))
    erasure_id = erasure_id_of(partition.number, NOW_MS, partition.number, 7)
    partition.erasing.erase(customer, new_erasure(customer, erasure_id, NOW_MS - 5, NOW_MS))
    partition.written(partition.seal(NOW_MS, 7), 0, 99)
    return erasure_id


async def test_an_erasure_tells_when_and_what_remains_and_names_nobody(
    worker: Worker, client: Client
) -> None:
    erasure_id = erased(worker)
    response = await client.get(f"/api/v1/erasures/{erasure_id}", headers=HEADERS)
    body = await response.json()
    assert response.status == 200
    assert (body["erasureId"], body["status"]) == (erasure_id, "erased")
    assert (body["requestedAt"], body["erasedAt"]) == (iso_ms(NOW_MS - 5), iso_ms(NOW_MS))
    assert body["goneAt"] == iso_ms(NOW_MS + RAW_RETENTION_MS)
    until = {one["where"]: one["until"] for one in body["remains"]}
    assert until == {
        "rawTopics": iso_ms(NOW_MS + RAW_RETENTION_MS),
        "changelog": iso_ms(NOW_MS + CHANGELOG_GONE_MS),
        "storeFiles": iso_ms(NOW_MS + RAW_RETENTION_MS),
        "outgoing": None,
        "marker": iso_ms(NOW_MS + RAW_RETENTION_MS),
        "totals": None,
    }
    assert "ann" not in (await response.text()).replace("cannot", "")
    assert customer_hash(b"shop:ann").hex() not in await response.text()
    assert (await client.get(ANN, headers=HEADERS)).status == 404


@pytest.mark.parametrize(
    "erasure_id", ["x", "ers_0_1a3185c5000_00000000", "rec_0_1a3185c5000_0123456789ab", "ers_ffff_1_00000000"]
)
async def test_ids_of_nothing_are_404(client: Client, erasure_id: str) -> None:
    response = await client.get(f"/api/v1/erasures/{erasure_id}", headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")


async def test_an_erasure_is_its_tenants_own(worker: Worker, client: Client) -> None:
    erasure_id = erased(worker)
    response = await client.get(f"/api/v1/erasures/{erasure_id}", headers={"X-Tenant-Id": "rival"})
    assert response.status == 404


async def test_without_kafka_nothing_is_erased_and_the_caller_knows(worker: Worker, client: Client) -> None:
    worker.know("ann")
    response = await client.delete(ANN, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
    assert (await client.get(ANN, headers=HEADERS)).status == 200


async def test_a_customer_id_that_is_none_is_400(client: Client) -> None:
    response = await client.delete(f"/api/v1/customers/{'x' * 257}", headers=HEADERS)
    assert response.status == 400


async def test_the_fact_is_recorded_first_and_without_it_nothing_is_erased(worker: Worker) -> None:
    facts: list[dict[str, Any]] = []

    async def record(**fact: Any) -> None:
        facts.append(fact)
        raise not_ready("The audit trail does not take it.")

    object.__setattr__(worker.engine, "record_fact", record)
    async with worker.client("erasing") as client:
        response = await client.delete(ANN, headers={**HEADERS, "X-Request-Id": "req-12345678"})
        assert (response.status, "audit trail" in (await response.json())["error"]) == (503, True)
    (fact,) = facts
    assert (fact["tenant_id"], fact["action"]) == (TENANT, "customer.erase")
    assert (fact["subject_hash"], fact["request_id"]) == (customer_hash(b"shop:ann").hex(), "req-12345678")
