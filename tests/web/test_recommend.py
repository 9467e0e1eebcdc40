"""POST /recommend: the request's rules, the decision and its answer, without Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.decision.ids import parse_routed_id
from app.decision.records import DecisionMade, decode_decision
from tables.partition import Phase
from tests.web.hand_log import Log
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Client, Worker, running, snapshot
from web.deciding import make_decision
from web.errors import ApiError
from web.recommend_body import read_wanted
from web.routing import lease_customer
from web.underway import Underway
from web.view import encode

PATH = "/api/v1/recommend"
Body = dict[str, Any]


def made(worker: Worker, body: Body) -> Underway:
    """The decision for a request, as the view makes it, not logged."""
    catalogue = worker.catalogue.tenant(TENANT)
    wanted = read_wanted(encode(body), catalogue)
    lease = lease_customer(worker.engine, TENANT, wanted.customer_id)
    return make_decision(worker.engine, lease, worker.catalogue, TENANT, wanted)


async def test_an_answer_has_the_documented_shape(client: Client, worker: Worker) -> None:
    worker.know("ann")
    body = {"customerId": "ann", "channelId": "web", "limit": 1, "debug": True}
    response = await client.post(PATH, json=body, headers=HEADERS)
    assert response.status == 200
    answer = await response.json()
    routed = parse_routed_id(answer["recommendationId"])
    assert routed is not None
    assert (routed.partition, routed.at_ms) == (worker.partition_for("ann").number, NOW_MS)
    decision = answer["decisions"][0]
    assert decision.pop("scoreExplanation")["finalScore"] == decision["score"]
    assert decision == {
        "offerId": "vinyl",
        "offerName": "Vinyl",
        "categoryId": "cat",
        "categoryName": "Music",
        "channelId": "web",
        "channelName": "Web",
        "creativeId": "vinyl-web",
        "creativeName": "Vinyl banner",
        "rank": 1,
        "score": 0.9,
        "content": {"headline": "you, vinyl!"},
        "personalization": {},
        "interactionId": f"int_{answer['recommendationId'][4:]}_1",
    }
    assert len(answer["recommendations"]) == answer["count"] == 1
    assert answer["recommendations"][0]["offerId"] == "vinyl"
    assert (answer["customerId"], answer["decisionFlowId"]) == ("ann", "flow")
    assert answer["processedAt"] == "2027-01-15T08:00:00.000Z"
    assert "traceId" not in answer
    assert answer["meta"] == {
        "totalCandidates": 2,
        "afterQualification": 2,
        "afterContactPolicy": 2,
        "degradedScoring": False,
        "degraded": "log_unavailable",
        "removals": {},
    }


async def test_without_kafka_an_implicit_channel_refuses_and_leaves_no_contact(
    client: Client, worker: Worker
) -> None:
    worker.know("ann")
    response = await client.post(PATH, json={"customerId": "ann", "channelId": "push"}, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")
    assert len(worker.partition_for("ann").overlays) == 0


def test_the_next_call_sees_the_contacts_of_one_under_way(worker: Worker) -> None:
    worker.know("ann")
    first = made(worker, {"customerId": "ann", "channelId": "push"})
    assert [one.creative_id for one in first.decided.decisions] == ["vinyl-push"]
    second = made(worker, {"customerId": "ann", "channelId": "push"})
    assert second.decided.decisions == ()
    assert second.decided.total_candidates == 1
    assert second.decided.after_contact_policy == 0
    assert second.record is None, "an empty decision is not logged"


def test_the_record_is_one_that_the_fold_accepts(worker: Worker) -> None:
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "channelId": "push", "trace": True})
    record = decode_decision(underway.record or b"")
    assert isinstance(record, DecisionMade)
    assert record.contact_ranks == (1,)
    assert record.shown[0].creative_id == "vinyl-push"
    assert (record.origin, record.sequence) == (worker.engine.origin_id, 1)
    assert record.catalogue_version == 7
    routed = parse_routed_id(record.trace_id or "")
    assert routed is not None
    assert routed.partition == worker.partition_for("ann").number
    assert b'"traceId"' in bytes(record.trace)


def test_an_empty_decision_is_logged_when_it_is_traced(worker: Worker) -> None:
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "excludeOffers": ["vinyl", "tape"], "trace": True})
    assert underway.decided.decisions == ()
    assert underway.record is not None


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"customerId": None}, {"customerId"}),
        ({"limit": 0}, {"limit"}),
        ({"limit": 51}, {"limit"}),
        ({"limit": 2.5}, {"limit"}),
        ({"limit": True}, {"limit"}),
        ({"maxOffers": "3"}, {"maxOffers"}),
        ({"limit": 3, "maxOffers": 4}, {"maxOffers"}),
        ({"decisionFlowId": "flow", "blueprintKey": "main"}, {"blueprintKey"}),
        ({"channelId": "nowhere"}, {"channelId"}),
        ({"channel": "nowhere"}, {"channel"}),
        ({"channelId": "web", "channel": "push"}, {"channel"}),
        ({"placement": "nowhere"}, {"placement"}),
        ({"placements": ["hero", "nowhere"]}, {"placements[1]"}),
        ({"placements": [{"placement": "hero", "limit": 0}]}, {"placements[0].limit"}),
        ({"placements": ["hero", "hero"], "placement": "hero"}, {"placement"}),
        ({"attributes": []}, {"attributes"}),
        ({"trace": "yes"}, {"trace"}),
        ({"limit": 0, "customerId": "", "channelId": "nowhere"}, {"limit", "customerId", "channelId"}),
    ],
)
async def test_all_bad_fields_come_at_once(client: Client, change: Body, fields: set[str]) -> None:
    response = await client.post(PATH, json={"customerId": "ann", **change}, headers=HEADERS)
    assert response.status == 400
    assert {detail["field"] for detail in (await response.json())["details"]} == fields


@pytest.mark.parametrize(
    ("change", "offers"),
    [
        ({"limit": 1}, ["vinyl"]),
        ({"maxOffers": 1}, ["vinyl"]),
        ({"limit": 1, "maxOffers": 1}, ["vinyl"]),
        ({"decisionFlowKey": "main"}, ["vinyl", "tape"]),
        ({"blueprintKey": "main", "decisionFlowId": "main"}, ["vinyl", "tape"]),
        ({"channel": "push"}, ["vinyl"]),
        ({"channelId": "ping"}, ["vinyl"]),
        ({"placement": "hero", "limit": 1}, ["vinyl"]),
        ({"placement": "hero", "placements": ["hero"], "limit": 1}, ["vinyl"]),
        ({"placements": [{"placement": "hero", "limit": 2}], "limit": 1}, ["vinyl", "tape"]),
        ({"excludeOffers": ["vinyl"]}, ["tape"]),
        ({"excludeCreatives": ["vinyl-web", "vinyl-push"]}, ["tape"]),
        ({"unheardOf": 1, "sessionId": "s", "segments": ["x"]}, ["vinyl", "tape"]),
    ],
)
def test_documented_fields_and_aliases_do_what_they_say(
    worker: Worker, change: Body, offers: list[str]
) -> None:
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", **change})
    assert [one.offer_id for one in underway.decided.decisions] == offers


async def test_unknown_flows_and_customers_are_404(client: Client, worker: Worker) -> None:
    worker.know("ann")
    for body, field in (
        ({"customerId": "ann", "decisionFlowId": "nothing"}, "decisionFlowId"),
        ({"customerId": "ann", "decisionFlowId": "draft"}, "decisionFlowId"),
        ({"customerId": "bob"}, "customerId"),
    ):
        response = await client.post(PATH, json=body, headers=HEADERS)
        answer = await response.json()
        assert (response.status, answer["code"]) == (404, "NOT_FOUND")
        assert answer["details"][0]["field"] == field


async def test_a_tenant_without_a_flow_is_404(client: Client) -> None:
    response = await client.post(PATH, json={"customerId": "ann"}, headers={"X-Tenant-Id": "rival"})
    assert response.status == 404


async def test_a_flow_may_allow_unknown_customers(client: Client) -> None:
    body = {"customerId": "bob", "decisionFlowId": "open", "channelId": "web"}
    response = await client.post(PATH, json=body, headers=HEADERS)
    assert (response.status, (await response.json())["count"]) == (200, 2)


@pytest.mark.parametrize("alias", [True, False])
async def test_the_array_of_the_tutorial_can_be_switched_off(tmp_path: Path, alias: bool) -> None:
    body = {"customerId": "bob", "decisionFlowId": "open", "channelId": "web"}
    with running(tmp_path, recommendations_alias=alias) as worker:
        worker.use(Log(worker))
        async with worker.client() as client:
            plain = await (await client.post(PATH, json=body, headers=HEADERS)).json()
            keyed = await (
                await client.post(PATH, json=body, headers={**HEADERS, "Idempotency-Key": "k"})
            ).json()
            simulated = await (await client.post("/api/v1/simulate", json=body, headers=HEADERS)).json()
    for answer in (plain, keyed, simulated):
        assert len(answer["decisions"]) == answer["count"] == 2
        assert answer.get("recommendations") == (answer["decisions"] if alias else None)
        assert ("recommendations" in answer) is alias


async def test_an_answer_needs_the_partition_it_was_read_from(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        worker.know("ann")
        lease = lease_customer(worker.engine, TENANT, "ann")
        lease.check()
        partition = lease.partition
        store = partition.store
        assert store is not None
        partition.attach(store)
        lease.check()
        partition.drop("failed")
        with pytest.raises(ApiError, match="stopped or moved"):
            lease.check()


def test_the_flow_of_a_route_is_taken(worker: Worker) -> None:
    flows: list[Body] = [
        {"id": "flow", "name": "Flow", "status": "active", "default": True},
        {"id": "routed", "name": "R", "status": "active", "routes": [{"channelId": "push"}]},
    ]
    worker.catalogue = snapshot({**ENTITIES, "decision-flows": flows})
    worker.know("ann")
    assert made(worker, {"customerId": "ann", "channel": "push"}).flow_id == "routed"
    assert made(worker, {"customerId": "ann", "channelId": "ping"}).flow_id == "routed"
    assert made(worker, {"customerId": "ann"}).flow_id == "flow"


def test_a_partition_that_comes_back_goes_on_numbering_its_decisions(worker: Worker) -> None:
    worker.know("ann")
    before = made(worker, {"customerId": "ann", "channelId": "push"})
    number = worker.partition_for("ann").number
    store = worker.partition_for("ann").store
    assert store is not None
    worker.partitions.release(number, "moved")
    partition = worker.partitions.own(number)
    partition.attach(store)
    partition.phase = Phase.READY
    worker.know("ann")
    after = made(worker, {"customerId": "ann", "channelId": "push"})
    assert after.sequence > before.sequence
    partition.overlays.folded(before.sequence)
    assert len(partition.overlays) == 1, "a late record of before takes nothing of now down"
