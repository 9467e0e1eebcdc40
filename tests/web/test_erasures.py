"""DELETE /customers/{id} and GET /erasures/{id}, short of Kafka."""

from __future__ import annotations

import pytest

from app.decision.erasing import erasure_id_of, new_erasure
from config.topics import CHANGELOG_GONE_MS, RAW_RETENTION_MS
from tables.audit_actor import SANDBOX
from tables.catalogue_commit import CatalogueWriteError
from tables.catalogue_desk import DeskFullError
from tables.catalogue_topic import CatalogueReadError
from tables.layout import customer_hash, customer_key
from tests.web.hand_log import Log
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker
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


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (CatalogueReadError("away"), "NOT_READY"),
        (CatalogueWriteError("away", certain=False), "NOT_READY"),
        (CatalogueWriteError("away", certain=True), "NOT_READY"),
        (DeskFullError("full"), "OVERLOADED"),
    ],
)
async def test_without_the_audit_trail_nothing_is_erased(
    worker: Worker, failure: Exception, code: str
) -> None:
    log = Log(worker)
    worker.use(log)
    worker.desk.failure = failure
    async with worker.client("erasing") as client:
        response = await client.delete(ANN, headers=HEADERS)
        assert (response.status, (await response.json())["code"]) == (503, code)
    assert response.headers["Retry-After"]
    assert log.records == []


async def test_the_fact_names_who_and_a_hash(worker: Worker, client: Client) -> None:
    """There is no Kafka here: the fact stands, and the erasure has failed."""
    response = await client.delete(ANN, headers={**HEADERS, "X-Request-Id": "req-12345678"})
    assert response.status == 503
    subject = customer_hash(b"shop:ann").hex()
    assert worker.desk.facts == [(TENANT, SANDBOX, "customer.erased", subject)]
    entry = (await (await client.get("/api/v1/audit", headers=HEADERS)).json())["audit"][0]
    assert (entry["action"], entry["id"], entry["requestId"]) == ("customer.erased", subject, "req-12345678")
