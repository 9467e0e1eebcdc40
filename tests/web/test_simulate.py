"""POST /simulate: what would be decided, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.decision.state import Profile
from tables.layout import customer_key
from tests.web.harness import ENTITIES, HEADERS, PARTITIONS, TENANT, Client, Worker, running, snapshot
from tests.web.test_recommend import made
from web import simulate as simulate_module
from web.simulate_body import read_simulation

PATH = "/api/v1/simulate"
Body = dict[str, Any]


async def simulate(client: Client, **body: Any) -> tuple[int, Any]:
    """Status and body of a simulation for ann on the web."""
    response = await client.post(
        PATH, json={"customerId": "ann", "channelId": "web", **body}, headers=HEADERS
    )
    return response.status, await response.json()


def offers(answer: Body) -> list[str]:
    """The offers decided for."""
    return [one["offerId"] for one in answer["decisions"]]


@pytest.fixture(autouse=True)
def known(worker: Worker) -> None:
    worker.know("ann")


async def test_it_has_recommends_shape_and_the_trace(client: Client, worker: Worker) -> None:
    response = await client.post(
        "/api/v1/recommend", json={"customerId": "ann", "channelId": "web"}, headers=HEADERS
    )
    real = await response.json()
    status, answer = await simulate(client, debug=True)
    assert (status, answer.pop("simulated")) == (200, True)
    trace = answer.pop("trace")
    assert [stage["name"] for stage in trace["stages"]] == ["enrich", "compute", "filter", "score", "rank"]
    assert (trace["traceId"], trace["customerId"], trace["decisionFlowId"]) == (None, "ann", "flow")
    assert set(answer) == set(real)
    assert answer["meta"].pop("removals") == {}
    del real["meta"]["degraded"]
    assert answer["meta"] == real["meta"]
    assert answer["recommendationId"].startswith("sim_")
    for one in (*answer["decisions"], *real["decisions"]):
        del one["interactionId"]
    assert answer["decisions"] == real["decisions"]


RULE = {"id": "adults", "name": "Adults", "kind": "attribute_condition",
        "config": {"field": "age", "operator": "gte", "value": 18}}  # fmt: skip
MUG = {"id": "mug", "name": "Mug", "categoryId": "cat", "priority": 95}
MUG_WEB = {"id": "mug-web", "name": "m", "offerId": "mug", "channelId": "web"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["vinyl", "tape"]),
        ({"overrides": {}}, ["vinyl", "tape"]),
        ({"overrides": {"offers": [{"id": "tape", "priority": 99}]}}, ["tape", "vinyl"]),
        ({"overrides": {"offers": [{"id": "vinyl", "status": "archived"}]}}, ["tape"]),
        ({"overrides": {"offers": [MUG], "creatives": [MUG_WEB]}}, ["mug", "vinyl", "tape"]),
        ({"overrides": {"offers": [{**MUG, "id": None, "key": "mug"}], "creatives": [MUG_WEB]}},
         ["mug", "vinyl", "tape"]),
        ({"overrides": {"creatives": [{"id": "vinyl-web", "status": "paused"}]}}, ["tape"]),
        ({"overrides": {"qualificationRules": [RULE]}}, []),
        ({"overrides": {"qualificationRules": [RULE]}, "customer": {"attributes": {"age": 18}}},
         ["vinyl", "tape"]),
        ({"overrides": {"contactPolicies": [{"id": "cap", "name": "c", "kind": "frequency_cap",
                                             "config": {"perDay": 1}}]}}, ["vinyl"]),
        ({"overrides": {"contactPolicies": [{"id": "once", "scopes": []}]}}, ["vinyl"]),
        ({"overrides": {"decisionFlow": {"inventory": {"scope": "offers", "ids": ["tape"]}}}}, ["tape"]),
        ({"overrides": {"decisionFlow": {"key": "main", "filters": [
            {"field": "offer.id", "operator": "eq", "value": "vinyl"}]}}}, ["vinyl"]),
        ({"overrides": {"decisionFlow": {"id": "draft"}}}, ["vinyl", "tape"]),
        ({"overrides": {"decisionFlow": {"id": "new", "name": "New", "ranking": {"maxPerCategory": 1}}}},
         ["vinyl"]),
        ({"customer": {"consent": {"web": "revoked"}}}, []),
        ({"limit": 1}, ["vinyl"]),
        ({"overrides": {"offers": [{"id": "vinyl", "startAt": "2030-01-01T00:00:00Z"}]}}, ["tape"]),
        ({"overrides": {"offers": [{"id": "vinyl", "startAt": "2030-01-01T00:00:00Z"}]},
          "now": "2030-01-01T01:00:00+01:00"}, ["vinyl", "tape"]),
    ],
)  # fmt: skip
async def test_overrides_decide(client: Client, worker: Worker, change: Body, expected: list[str]) -> None:
    status, answer = await simulate(client, **change)
    assert (status, offers(answer) if status == 200 else answer) == (200, expected)
    assert "now" not in change or answer["processedAt"] == "2030-01-01T00:00:00.000Z"
    status, plain = await simulate(client)
    assert offers(plain) == ["vinyl", "tape"], "an override holds for its own simulation only"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"customerId": None}, {"customerId"}),
        ({"limit": 0, "now": "2027-01-01T00:00:00"}, {"limit", "now"}),
        ({"now": "1950-01-01T00:00:00Z"}, {"now"}),
        ({"overrides": {"offer": []}}, {"overrides"}),
        ({"overrides": {"offers": {}}}, {"overrides.offers"}),
        ({"overrides": {"offers": [{"priority": 3}]}}, {"overrides.offers[0].id"}),
        ({"overrides": {"offers": [{"id": "tape"}, {"id": "tape"}]}}, {"overrides.offers[1].id"}),
        ({"overrides": {"offers": [{"id": "vinyl", "priority": 101, "prioritty": 1}],
                        "contactPolicies": [{"id": "new", "name": "n", "kind": "cooldown"}]}},
         {"overrides.offers[0].priority", "overrides.offers[0].prioritty",
          "overrides.contactPolicies[0].config.cooldownMs"}),
        ({"overrides": {"offers": [{"id": "vinyl", "categoryId": "gone"}]}, "limit": 99},
         {"overrides.offers[0].categoryId", "limit"}),
        ({"overrides": {"creatives": [{"id": "vinyl-web", "channelId": "gone"}]}},
         {"overrides.creatives[0].channelId"}),
        ({"overrides": {"qualificationRules": [{"id": "r", "name": "r", "kind": "expression",
                                                "config": {"formula": "1 +"}}]}},
         {"overrides.qualificationRules[0].config.formula"}),
        ({"overrides": {"decisionFlow": {"routes": [{}]}}}, {"overrides.decisionFlow.routes[0]"}),
        ({"overrides": {"decisionFlow": {"id": "open"}}, "decisionFlowId": "flow"},
         {"overrides.decisionFlow.id"}),
        ({"customer": {"attributes": {"a": {"b": 1}}}}, {"customer.attributes.a"}),
        ({"customer": {"consent": {"web": "maybe"}}}, {"customer.consent.web"}),
    ],
)  # fmt: skip
async def test_all_bad_fields_come_at_once_with_their_place(
    client: Client, change: Body, fields: set[str]
) -> None:
    status, body = await simulate(client, **change)
    assert (status, {detail["field"] for detail in body["details"]}) == (400, fields)


async def test_what_was_wrong_with_the_catalogue_before_is_not_the_callers_problem(
    client: Client, worker: Worker
) -> None:
    broken = {"id": "lost", "name": "Lost", "offerId": "gone", "channelId": "web"}
    worker.catalogue = snapshot({**ENTITIES, "creatives": [*ENTITIES["creatives"], broken]})
    status, answer = await simulate(client, overrides={"offers": [{"id": "tape", "priority": 99}]})
    assert (status, offers(answer)) == (200, ["tape", "vinyl"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"customerId": "bob"}, "customerId"),
        ({"decisionFlowId": "nothing"}, "decisionFlowId"),
        ({"decisionFlowId": "draft"}, "decisionFlowId"),
        ({"overrides": {"decisionFlow": {"status": "archived"}}}, "decisionFlowId"),
    ],
)
async def test_what_is_not_there_is_404(client: Client, body: Body, field: str) -> None:
    status, answer = await simulate(client, **body)
    assert (status, answer["details"][0]["field"]) == (404, field)


async def test_a_customer_who_is_described_need_not_be_known(client: Client) -> None:
    status, answer = await simulate(client, customerId="bob", customer={"attributes": {"name": "Bob"}})
    assert (status, answer["decisions"][0]["content"]) == (200, {"headline": "Bob, vinyl!"})


def state_of(worker: Worker) -> tuple[object, ...]:
    """Everything that a decision could leave behind on a worker."""
    partitions = []
    for one in worker.partitions:
        assert one.store is not None
        stored = [list(one.store.scan(bytes([kind]))) for kind in range(33, 127)]
        partitions.append((one.dirty, len(one.overlays), len(one.waiters), len(one.outbox), stored))
    customer = worker.partition_for("ann").customer(customer_key(TENANT, "ann"))
    counted = [
        (sample.name, tuple(sample.labels.items()), sample.value)
        for family in worker.metrics.registry.collect()
        for sample in family.samples
        if "http" not in sample.name and "cache" not in sample.name
    ]
    flows, models = vars(worker.engine.latency_budgets), vars(worker.engine.breakers)
    return repr(partitions), repr(customer), counted, repr(flows), repr(models)


async def test_it_leaves_nothing_behind(
    client: Client, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []

    async def publish(*arguments: object, **_: object) -> None:
        sent.append(arguments)

    monkeypatch.setattr(worker.publisher, "publish", publish)
    before = state_of(worker)
    catalogue = worker.catalogue
    for change in (
        {},
        {"channelId": "push"},
        {"overrides": {"offers": [MUG], "creatives": [MUG_WEB]}},
        {"overrides": {"decisionFlow": {"latencyBudgetMs": 1, "scoring": {"method": "propensity"}}}},
        {"customer": {"attributes": {"age": 3}}},
    ):
        status, _ = await simulate(client, **change)
        assert status == 200
    assert state_of(worker) == before
    assert (sent, worker.catalogue) == ([], catalogue)
    made(worker, {"customerId": "ann", "channelId": "web"})
    assert state_of(worker) != before, "a real decision would have been seen"


async def test_it_reads_what_a_recommend_would(client: Client, worker: Worker) -> None:
    made(worker, {"customerId": "ann", "channelId": "push"})
    customer = worker.partition_for("ann").open(customer_key(TENANT, "ann"))
    customer.profile = Profile({"name": "Ann"})
    status, answer = await simulate(client, channelId="push", debug=True)
    assert (status, offers(answer), answer["meta"]["removals"]) == (200, [], {"frequency_cap:once": 1})
    status, answer = await simulate(client)
    assert answer["decisions"][0]["content"] == {"headline": "Ann, vinyl!"}


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Worker]:
    with running(tmp_path / "owner") as made_:
        made_.know("ann")
        yield made_


async def test_another_workers_customer_is_simulated_there(owner: Worker, tmp_path: Path) -> None:
    other = Worker(tmp_path / "asked")
    async with owner.client("owner") as at_owner, other.client("asked") as client:
        other.owners = dict.fromkeys(range(PARTITIONS), str(at_owner.make_url("/")).rstrip("/"))
        status, answer = await simulate(client, overrides={"offers": [{"id": "tape", "priority": 99}]})
    assert (status, offers(answer)) == (200, ["tape", "vinyl"])


async def test_simulations_that_wait_for_their_turn_are_bounded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = threading.Event()

    def held(*arguments: Any) -> Any:
        going.wait(10)
        return read_simulation(*arguments)

    monkeypatch.setattr(simulate_module, "read_simulation", held)
    monkeypatch.setattr(simulate_module, "COMPILING_MAX", 2)
    change = {"offers": [{"id": "tape", "priority": 99}]}
    waiting = [asyncio.create_task(simulate(client, overrides=change)) for _ in range(5)]
    done, _ = await asyncio.wait(waiting, timeout=1)
    assert [task.result()[1]["code"] for task in done] == ["OVERLOADED"] * 3
    going.set()
    assert sorted([status for status, _ in await asyncio.gather(*waiting)]) == [200, 200, 503, 503, 503]
    assert (await simulate(client, overrides=change))[0] == 200


async def test_asking_what_a_budget_leaves_fetches_no_lease(client: Client, worker: Worker) -> None:
    budgeted = [{**offer, "budget": {"maxTotal": 5}} for offer in ENTITIES["offers"]]
    worker.catalogue = snapshot({**ENTITIES, "offers": budgeted})
    leases = worker.partition_for("ann").leases
    status, answer = await simulate(client, debug=True)
    assert (status, answer["meta"]["removals"]) == (200, {"budget_exhausted": 2})
    response = await client.get("/api/v1/customers/ann/eligibility", headers=HEADERS)
    assert [one["eligible"] for one in (await response.json())["offers"]] == [False, False]
    assert not leases.hungry
    made(worker, {"customerId": "ann", "channelId": "web"})
    assert leases.hungry, "a real decision asks for what it lacks"
