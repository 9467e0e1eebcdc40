"""PUT, PATCH and GET /customers/{id} as far as they go without Kafka."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from app.decision.fold import Clock, fold_event, fold_profile
from app.decision.records import Event, ProfileWrite, decode_profile
from app.decision.refusals import Refused
from tables.layout import customer_key
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker
from web.view import encode


def path(customer_id: str) -> URL:
    return URL(f"/api/v1/customers/{quote(customer_id, safe='')}", encoded=True)


async def test_a_customer_is_shown_as_decisions_see_it(client: Client, worker: Worker) -> None:
    customer = worker.partition_for("ann").open(customer_key(TENANT, "ann"))
    clock = Clock(NOW_MS, worker.catalogue)
    fold_event(customer, Event(tenant_id=TENANT, customer_id="ann", type="purchase"), NOW_MS, clock)
    write = ProfileWrite(
        tenant_id=TENANT, customer_id="ann", attributes={"name": "Ann"}, tags=["vip"], time_zone="Europe/Rome"
    )
    fold_profile(customer, write, clock)
    response = await client.get(path("ann"), headers=HEADERS)
    assert response.status == 200
    body = await response.json()
    assert body == {
        "customerId": "ann",
        "attributes": {"name": "Ann"},
        "tags": ["vip"],
        "consent": {},
        "timeZone": "Europe/Rome",
        "locale": None,
        "metrics": {"purchases": 1.0},
        "metricsCompleteSince": {},
        "contacts": {"total": 0, "byChannel": {}},
        "contactPolicies": [
            {
                "policyId": "once",
                "policyName": "Once a day",
                "kind": "frequency_cap",
                "counts": [
                    {"scope": "channel", "entityId": "push", "count": 0, "max": 1, "windowMs": 86_400_000}
                ],
            }
        ],
        "contactPoliciesLeftOut": 0,
        "reservations": [],
        "suppressions": [],
        "variants": [],
        "enrolments": [],
        "recentInteractions": [],
        "recentRecommendations": [],
        "knownSince": "2027-01-15T08:00:00.000Z",
        "lastEventAt": "2027-01-15T08:00:00.000Z",
    }


@pytest.mark.parametrize(
    "customer_id", ["a/b", "a b", "ä€😀", "100%", "a%2Fb", "a:b", "a?b#c", "{a}", "a\nb", "x" * 256]
)
async def test_ids_of_any_text_are_found(client: Client, worker: Worker, customer_id: str) -> None:
    worker.know(customer_id)
    response = await client.get(path(customer_id), headers=HEADERS)
    assert response.status == 200
    assert (await response.json())["customerId"] == customer_id


async def test_an_unknown_customer_is_404_and_another_tenants_too(client: Client, worker: Worker) -> None:
    worker.know("ann")
    assert (await client.get(path("bob"), headers=HEADERS)).status == 404
    assert (await client.get(path("ann"), headers={"X-Tenant-Id": "rival"})).status == 404


async def test_too_long_an_id_is_400(client: Client) -> None:
    response = await client.get(path("x" * 257), headers=HEADERS)
    assert (response.status, (await response.json())["details"][0]["field"]) == (400, "customerId")


@pytest.mark.parametrize("raw", ["%FF", "%ED%A0%80", "%00", "%"])
async def test_ids_that_are_hardly_text_break_nothing(client: Client, raw: str) -> None:
    response = await client.get(URL(f"/api/v1/customers/{raw}", encoded=True), headers=HEADERS)
    assert response.status in (400, 404)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"attributes": {"a": {"b": 1}}}, {"attributes.a"}),
        ({"attributes": {"a": 2**63}}, {"attributes.a"}),
        ({"attributes": {"a": [1, -(2**63) - 1]}}, {"attributes.a"}),
        ({"attributes": {"a": "x" * 70_000}}, {"attributes"}),
        ({"tags": "vip", "consent": {"mail": "maybe"}, "locale": 7}, {"tags", "consent.mail", "locale"}),
        ({"tags": [""] * 3}, {"tags[0]", "tags[1]", "tags[2]"}),
        ({"timeZone": "Mars/X", "consent": {"mail": "maybe"}}, {"timeZone", "consent.mail"}),
        ({"timeZone": ""}, {"timeZone"}),
        ({"timeZone": "../UTC"}, {"timeZone"}),
    ],
)
async def test_all_bad_fields_come_at_once(client: Client, body: dict[str, Any], fields: set[str]) -> None:
    for method in ("PUT", "PATCH"):
        response = await client.request(method, path("ann"), json=body, headers=HEADERS)
        assert response.status == 400
        assert {detail["field"] for detail in (await response.json())["details"]} == fields


async def test_without_kafka_nothing_was_recorded(client: Client) -> None:
    response = await client.put(path("ann"), json={"tags": ["vip"]}, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")


def test_an_integer_the_state_cannot_hold_is_refused_from_kafka_too() -> None:
    body = encode({"tenantId": TENANT, "customerId": "ann", "attributes": {"a": 2**64}})
    refused = decode_profile(body)
    assert isinstance(refused, Refused)
    assert refused.problems[0].field == "attributes.a"


def test_a_zone_that_is_none_is_refused_from_kafka_too() -> None:
    body = {"tenantId": TENANT, "customerId": "ann", "timeZone": "Europe/Rome"}
    assert not isinstance(decode_profile(encode(body)), Refused)
    refused = decode_profile(encode({**body, "timeZone": "Mars/X"}))
    assert isinstance(refused, Refused)
    assert refused.problems[0].field == "timeZone"
