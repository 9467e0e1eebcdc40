"""GET /customers/{id}: the parts of the state that hold back decisions, and what happened last."""

from __future__ import annotations

from typing import Any

from app.decision.fold import Clock
from app.decision.records import Response, Target
from app.decision.responses import fold_response
from app.decision.state import Assigned, Contact, Customer, Recommendation, Reserved, Suppression
from tables.layout import customer_key
from tables.overlays import Overlay
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Client, Worker, snapshot

DAY_MS = 86_400_000
ANN = "/api/v1/customers/ann"


def known(worker: Worker) -> Customer:
    worker.know("ann")
    return worker.partition_for("ann").open(customer_key(TENANT, "ann"))


async def shown(client: Client) -> dict[str, Any]:
    response = await client.get(ANN, headers=HEADERS)
    assert response.status == 200
    body: dict[str, Any] = await response.json()
    return body


def contact(at_ms: int, channel: str = "push", offer: str = "vinyl") -> Contact:
    return Contact(at_ms, offer, f"{offer}-{channel}", channel, "cat")


async def test_counts_are_those_that_eligibility_compares(client: Client, worker: Worker) -> None:
    customer = known(worker)
    for age_ms in (1, 1_000, DAY_MS):
        customer.contacts.append(contact(NOW_MS - age_ms))
    (policy,) = (await shown(client))["contactPolicies"]
    assert policy["counts"] == [
        {"scope": "channel", "entityId": "push", "count": 2, "max": 1, "windowMs": DAY_MS}
    ]
    response = await client.get(f"{ANN}/eligibility?channelId=push&offerId=vinyl", headers=HEADERS)
    (offer,) = (await response.json())["offers"]
    numbers = offer["creatives"][0]["reasons"][0]["numbers"]
    assert numbers == {"count": 2, "max": 1, "windowMs": DAY_MS}


async def test_reservations_and_decisions_under_way_count(client: Client, worker: Worker) -> None:
    customer = known(worker)
    customer.reserved = [
        Reserved(NOW_MS + 5, "rec_1", 1, contact(NOW_MS - 1)),
        Reserved(NOW_MS, "rec_0", 1, contact(NOW_MS - 1)),
    ]
    underway = Reserved(NOW_MS + 2, "rec_2", 2, contact(NOW_MS - 1, offer="tape"))
    made = Recommendation("rec_2", NOW_MS, "flow", ())
    overlay = Overlay(1, customer_key(TENANT, "ann"), made, (), (underway,), {"exp": Assigned("b", NOW_MS)})
    worker.partition_for("ann").overlays.add(overlay)
    body = await shown(client)
    assert [(one["recommendationId"], one["rank"]) for one in body["reservations"]] == [
        ("rec_2", 2),
        ("rec_1", 1),
    ]
    assert body["reservations"][1]["until"] == "2027-01-15T08:00:00.005Z"
    assert body["contactPolicies"][0]["counts"][0]["count"] == 2
    assert body["variants"] == [
        {
            "experimentId": "exp",
            "variant": "b",
            "assignedAt": "2027-01-15T08:00:00.000Z",
            "exposedAt": None,
            "convertedAt": None,
        }
    ]


async def test_suppressions_that_hold_are_shown(client: Client, worker: Worker) -> None:
    known(worker).suppressions = [
        Suppression("s2", "pol", "global", "", "complaint", NOW_MS, NOW_MS + 60_000),
        Suppression("s1", "pol", "offer", "vinyl", "dismiss", NOW_MS - 1_000, NOW_MS + 1),
        Suppression("s0", "pol", "offer", "tape", "dismiss", NOW_MS - 1_000, NOW_MS),
    ]
    first, second = (await shown(client))["suppressions"]
    assert first == {
        "id": "s1",
        "policyId": "pol",
        "dimension": "offer",
        "entityId": "vinyl",
        "outcome": "dismiss",
        "from": "2027-01-15T07:59:59.000Z",
        "until": "2027-01-15T08:00:00.001Z",
    }
    assert (second["id"], second["entityId"]) == ("s2", None)


async def test_the_last_20_interactions_are_shown_the_newest_first(client: Client, worker: Worker) -> None:
    customer = known(worker)
    clock = Clock(NOW_MS, worker.catalogue)
    for n in range(30):
        target = Target("vinyl", "", "", "cat", outcome="click")
        response = Response(TENANT, "ann", outcome="click", idempotency_key=f"k{n}", target=target)
        fold_response(customer, response, NOW_MS - 100 + n, clock, "responses/0/1")
    interactions = (await shown(client))["recentInteractions"]
    assert len(interactions) == 20
    assert interactions[0].pop("interactionId").startswith("int_")
    assert interactions[0] == {
        "outcome": "click",
        "offerId": "vinyl",
        "creativeId": None,
        "channelId": None,
        "recommendationId": None,
        "rank": None,
        "timestamp": "2027-01-15T07:59:59.929Z",
    }


async def test_many_policies_are_cut_and_said_to_be(client: Client, worker: Worker) -> None:
    policies = [
        {"id": f"p{n:03}", "name": "p", "kind": "cooldown", "config": {"cooldownMs": 5_000}}
        for n in range(203)
    ]
    worker.catalogue = snapshot({**ENTITIES, "contact-policies": policies})
    known(worker).contacts.append(contact(NOW_MS - 1_000))
    body = await shown(client)
    assert (len(body["contactPolicies"]), body["contactPoliciesLeftOut"]) == (200, 3)
    assert body["contactPolicies"][0]["counts"] == [
        {"scope": "global", "count": 1, "max": 1, "windowMs": 5_000, "ageMs": 1_000}
    ]
