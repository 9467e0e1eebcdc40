"""What recommend makes of a flow's and a tenant's settings: holdout, fallback, segments, the unknown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from app.decision.catalogue import CatalogSnapshot
from app.decision.decide import Decided, decide
from app.decision.state import Profile
from tables.layout import customer_key
from tests.web.harness import ENTITIES, HEADERS, TENANT, Client, Worker, snapshot
from tests.web.test_recommend import made
from web import deciding, latency_budgets
from web.recommend_answer import render

PATH = "/api/v1/recommend"


def catalogue(settings: dict[str, Any] | None = None, flow: dict[str, Any] | None = None) -> CatalogSnapshot:
    """The shop with other settings of tenant and flow, and a rule that wants the card's buyers to be gold."""
    rule = {
        "id": "gold-only",
        "name": "g",
        "kind": "segment_required",
        "config": {"segmentIds": ["gold"]},
        "scopes": [{"scope": "offer", "id": "vinyl"}],
    }
    leaf = {"field": "customer.tags", "operator": "contains", "value": "gold"}
    return snapshot(
        {
            **ENTITIES,
            "segments": [{"id": "gold", "key": "g", "name": "Gold", "filter": leaf}],
            "qualification-rules": [rule],
            "decision-flows": [{**ENTITIES["decision-flows"][0], **(flow or {})}],
            "tenant-settings": [{"id": "settings", **(settings or {})}],
        }
    )


async def ask(client: Client, **body: Any) -> dict[str, Any]:
    """The answer for ann on the web."""
    asked = {"customerId": "ann", "channelId": "web", **body}
    response = await client.post(PATH, json=asked, headers=HEADERS)
    answer: dict[str, Any] = await response.json()
    return {**answer, "status": response.status}


def offers(answer: dict[str, Any]) -> list[str]:
    return [one["offerId"] for one in answer["decisions"]]


async def test_segments_of_the_request_count_only_where_the_tenant_trusts_callers(
    client: Client, worker: Worker
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue()
    for segments in ([], ["gold"], ["unheard"]):
        assert offers(await ask(client, segments=segments)) == ["tape"]
    worker.catalogue = catalogue({"trustRequestSegments": True})
    assert offers(await ask(client)) == ["tape"]
    for name in ("gold", "g"):
        assert offers(await ask(client, segments=[name])) == ["vinyl", "tape"]
    refused = await ask(client, segments=["gold", "unheard"])
    assert (refused["status"], [one["field"] for one in refused["details"]]) == (400, ["segments[1]"])


async def test_segments_are_evaluated_on_the_customers_state(client: Client, worker: Worker) -> None:
    worker.know("ann")
    worker.catalogue = catalogue()
    partition = worker.partition_for("ann")
    customer = partition.open(customer_key(TENANT, "ann"))
    customer.profile = Profile(tags=("gold",))
    assert offers(await ask(client)) == ["vinyl", "tape"]


@pytest.mark.parametrize(
    ("tenant", "flow", "status"),
    [
        (None, None, 404),
        ("allow", None, 200),
        (None, "allow", 200),
        ("allow", "reject", 404),
        ("reject", "allow", 200),
    ],
)
async def test_the_flow_then_the_tenant_say_whether_unknown_customers_are_decided(
    client: Client, worker: Worker, tenant: str | None, flow: str | None, status: int
) -> None:
    worker.catalogue = catalogue(
        {} if tenant is None else {"unknownCustomers": tenant},
        {} if flow is None else {"unknownCustomers": flow},
    )
    answer = await ask(client, customerId="stranger")
    assert answer["status"] == status
    if status == 200:
        assert offers(answer) == ["tape"]


async def test_control_group_is_shown_only_when_it_is_true(client: Client, worker: Worker) -> None:
    worker.know("ann")
    worker.catalogue = catalogue()
    assert "controlGroup" not in await ask(client)
    worker.catalogue = catalogue({"holdoutPercent": 100})
    answer = await ask(client)
    assert (answer["controlGroup"], offers(answer)) == (True, ["tape"])
    assert answer["decisions"][0]["scoreExplanation"]["method"] == "priority"


class SlowClock:
    """A stopwatch that moves by `took_ms` each time it is read: so long does each decision take."""

    def __init__(self) -> None:
        self.now_ms, self.took_ms = 0.0, 1.0

    def __call__(self) -> float:
        self.now_ms += self.took_ms
        return self.now_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SlowClock:
    made = SlowClock()
    monkeypatch.setattr(deciding, "stopwatch_ms", made)
    return made


def counted(worker: Worker, name: str) -> float:
    value = worker.metrics.registry.get_sample_value(f"offertide_{name}_total", {"flow": "flow"})
    return value or 0.0


def chosen(worker: Worker) -> tuple[list[str], str | None]:
    """The offers for ann on the web, and what the answer lacks, had the log taken it."""
    underway = made(worker, {"customerId": "ann", "channelId": "web"})
    answer = msgspec.json.decode(render(underway, "ann", False, None))
    return offers(answer), answer["meta"].get("degraded")


def test_three_overruns_switch_a_flow_to_its_fallback_offers_for_ten_seconds(
    worker: Worker, clock: SlowClock
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["tape", "vinyl"], "latencyBudgetMs": 20})
    clock.took_ms = 21.0
    for _ in range(3):
        assert chosen(worker) == (["tape"], None)
    clock.took_ms = 1.0
    assert chosen(worker) == (["tape", "vinyl"], "latency_fallback")
    assert (counted(worker, "decisions_over_budget"), counted(worker, "flow_fallbacks")) == (3, 1)
    clock.now_ms += 10_000
    assert chosen(worker) == (["tape"], None)


def test_another_flow_and_a_flow_changed_to_have_no_fallback_are_not_switched(
    worker: Worker, clock: SlowClock
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["vinyl"]})
    clock.took_ms = 51.0
    for _ in range(3):
        chosen(worker)
    clock.took_ms = 1.0
    assert chosen(worker) == (["vinyl"], "latency_fallback")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["vinyl"], "id": "other"})
    assert chosen(worker) == (["tape"], None)
    worker.catalogue = catalogue()
    assert chosen(worker) == (["tape"], None)


def test_a_flow_without_fallback_offers_is_counted_and_not_switched(worker: Worker, clock: SlowClock) -> None:
    worker.know("ann")
    worker.catalogue = catalogue()
    clock.took_ms = 51.0
    for _ in range(5):
        assert chosen(worker) == (["tape"], None)
    assert (counted(worker, "decisions_over_budget"), counted(worker, "flow_fallbacks")) == (5, 0)


def test_a_decision_in_time_between_two_overruns_starts_the_count_anew(
    worker: Worker, clock: SlowClock
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["vinyl"]})
    for took_ms in (51.0, 51.0, 50.0, 51.0, 51.0, 1.0):
        clock.took_ms = took_ms
        assert chosen(worker) == (["tape"], None)
    assert counted(worker, "flow_fallbacks") == 0


async def test_what_the_log_lacks_is_said_before_what_the_decision_lacks(
    client: Client, worker: Worker, clock: SlowClock
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["vinyl"]})
    clock.took_ms = 51.0
    for _ in range(3):
        chosen(worker)
    answer = await ask(client)
    assert (offers(answer), answer["meta"]["degraded"]) == (["vinyl"], "log_unavailable")


def test_the_flows_remembered_are_bounded(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_budgets, "FLOWS_MAX", 2)
    flow = catalogue(flow={"fallbackOfferIds": ["vinyl"]}).tenant(TENANT).flows["flow"]
    budgets = latency_budgets.LatencyBudgets()
    for tenant_id in ("a", "b", "c"):
        for _ in range(3):
            budgets.note(tenant_id, flow, 51.0, 0.0, worker.metrics)
    assert [budgets.switched(tenant_id, flow, 1.0) for tenant_id in ("a", "b", "c")] == [False, True, True]


def test_a_model_that_keeps_failing_is_left_alone_for_a_minute(
    worker: Worker, clock: SlowClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.know("ann")
    bypassed: list[frozenset[str]] = []

    def failing(*arguments: Any) -> Decided:
        bypassed.append(arguments[-1].bypassed)
        return msgspec.structs.replace(decide(*arguments), asked_models={"m": True, "fine": False})

    monkeypatch.setattr(deciding, "decide", failing)
    opened = worker.metrics.model_breakers_opened_total.labels("m")
    for _ in range(6):
        made(worker, {"customerId": "ann"})
    assert bypassed == [frozenset()] * 5 + [frozenset({"m"})]
    clock.now_ms += 60_000
    made(worker, {"customerId": "ann"})
    assert bypassed[-1] == frozenset()
    assert opened._value.get() >= 2, "and one more failure opens it again"


def test_writing_a_trace_down_is_not_counted_against_the_latency_budget(
    worker: Worker, clock: SlowClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.know("ann")
    worker.catalogue = catalogue(flow={"fallbackOfferIds": ["tape"], "latencyBudgetMs": 50})

    def slow_to_write(*arguments: Any) -> Decided:
        decided = decide(*arguments)
        clock.now_ms += 1_000 if decided.trace is not None else 0
        return decided

    monkeypatch.setattr(deciding, "decide", slow_to_write)
    for _ in range(6):
        underway = made(worker, {"customerId": "ann", "trace": True})
        assert underway.decided.degraded is None


def test_removals_name_every_kind_of_reason(worker: Worker) -> None:
    worker.know("ann")
    customer = worker.partition_for("ann").open(customer_key(TENANT, "ann"))
    customer.profile = Profile({}, consent={"push": "revoked"})
    offers = [
        *ENTITIES["offers"],
        {"id": "mug", "name": "Mug", "categoryId": "cat", "budget": {"maxTotal": 1}},
    ]
    creatives = [
        {"id": f"{offer}-{n}", "name": "x", "offerId": offer, "channelId": "web"}
        for offer, n in (("mug", 1), ("vinyl", 2), ("tape", 2))
    ]
    tape_only = {"field": "offer.id", "operator": "neq", "value": "tape"}
    worker.catalogue = snapshot(
        {
            **ENTITIES,
            "offers": offers,
            "creatives": [*ENTITIES["creatives"], *creatives],
            "decision-flows": [{"id": "flow", "name": "F", "status": "active", "filters": [tape_only]}],
        }
    )
    body = {"customerId": "ann", "excludeCreatives": ["tape-2"], "debug": True}
    answer = msgspec.json.decode(render(made(worker, body), "ann", True, None))
    assert answer["meta"]["removals"] == {
        "excluded_creative": 1,
        "consent:push": 1,
        "budget_exhausted": 1,
        "filter:filters[0]": 1,
        "one_creative_per_offer": 1,
    }
