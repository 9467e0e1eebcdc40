"""Experiments over HTTP: what recommend says and assigns, and the results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.decision.evidence import added
from app.decision.experiments.statistics import VariantCounts, results
from app.decision.fold import Clock, fold_decision
from app.decision.learning.evidence import Tally
from app.decision.notices import Score, encode_notice
from app.decision.records import DecisionMade, decode_decision
from tables.layout import customer_key, shared_key
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Client, Worker, snapshot
from tests.web.test_recommend import made
from web.recommend_answer import render

EXPERIMENT: dict[str, Any] = {
    "id": "exp",
    "key": "cta",
    "status": "active",
    "target": "creative",
    "offerId": "vinyl",
    "variants": [
        {"key": "control", "weight": 70, "creativeId": "vinyl-web"},
        {"key": "loud", "weight": 30, "creativeId": "vinyl-loud"},
    ],
    "controlVariant": "control",
}
LOUD = {"id": "vinyl-loud", "name": "Loud", "offerId": "vinyl", "channelId": "web"}
RACE: dict[str, Any] = {
    "id": "race",
    "key": "ranking",
    "status": "active",
    "target": "scoring",
    "variants": [
        {"key": "old", "weight": 0},
        {"key": "new", "weight": 100, "scoring": {"method": "expression", "expression": "score.fit"}},
    ],
    "controlVariant": "old",
}
FLOWS = [{"id": "flow", "name": "F", "status": "active", "default": True, "experimentId": "race"}]


@pytest.fixture(autouse=True)
def _experimenting(worker: Worker) -> None:
    _set_catalogue(worker, EXPERIMENT)


def _set_catalogue(worker: Worker, experiment: dict[str, Any]) -> None:
    creatives = [*ENTITIES["creatives"], LOUD]
    worker.catalogue = snapshot(
        {**ENTITIES, "experiments": [experiment, RACE], "creatives": creatives, "decision-flows": FLOWS}
    )


def _record(worker: Worker, customer_id: str) -> tuple[dict[str, Any], DecisionMade]:
    """What recommend answers for a customer on the web, and its record."""
    underway = made(worker, {"customerId": customer_id, "channelId": "web"})
    assert underway.record is not None
    decision = decode_decision(underway.record)
    assert isinstance(decision, DecisionMade)
    return json.loads(render(underway, customer_id, debug=False, degraded=None)), decision


def test_a_decision_says_its_experiment_and_its_record_remembers_it(worker: Worker) -> None:
    worker.know("ann")
    answer, record = _record(worker, "ann")
    vinyl, tape = answer["decisions"]
    variant = vinyl["experiment"]["variant"]
    weight = {"control": 70, "loud": 30}[variant]
    assert vinyl["experiment"] == {"experimentId": "exp", "variant": variant, "weight": weight}
    assert tape["experiment"] == {"experimentId": "race", "variant": "new", "weight": 100}
    assert record.assigned == {"exp": variant, "race": "new"}
    assert (record.experiment_id, record.variant) == ("race", "new")
    shown = {one.offer_id: (one.experiment_id, one.variant) for one in record.shown}
    assert shown == {"vinyl": ("exp", variant), "tape": ("race", "new")}


def test_without_an_experiment_nothing_is_said(worker: Worker) -> None:
    worker.catalogue = snapshot()
    worker.know("ann")
    answer, record = _record(worker, "ann")
    assert all("experiment" not in one for one in answer["decisions"])
    assert (record.assigned, record.experiment_id) == ({}, None)


def _with_weights(worker: Worker, control: int, loud: int) -> None:
    weighted = [
        {**variant, "weight": weight}
        for variant, weight in zip(EXPERIMENT["variants"], (control, loud), strict=True)
    ]
    _set_catalogue(worker, {**EXPERIMENT, "variants": weighted})


def _variant(record: DecisionMade) -> str | None:
    return next(one.variant for one in record.shown if one.experiment_id == "exp")


def test_the_next_decision_knows_the_assignment_before_and_after_the_fold(worker: Worker) -> None:
    worker.know("ann")
    _with_weights(worker, 100, 0)
    _, first = _record(worker, "ann")
    assert first.assigned["exp"] == "control"
    _with_weights(worker, 0, 100)
    _, second = _record(worker, "ann")
    assert (_variant(second), second.assigned) == ("control", {})
    partition = worker.partition_for("ann")
    customer = partition.open(customer_key(TENANT, "ann"))
    fold_decision(customer, first, Clock(NOW_MS, worker.catalogue))
    partition.overlays.folded(second.sequence)
    _, third = _record(worker, "ann")
    assert (_variant(third), third.assigned) == ("control", {})
    worker.know("bob")
    assert _variant(_record(worker, "bob")[1]) == "loud"


async def test_results_are_the_statistics_of_what_was_counted(worker: Worker, client: Client) -> None:
    for variant, tally in (("control", Tally(7_000, 350)), ("loud", Tally(3_000, 210))):
        score = encode_notice(Score(1, added(None, tally)))
        assert worker.engine.scoreboard.apply(shared_key(TENANT, f"variant/exp/{variant}"), score)
    async with worker.client("results-test") as own:
        for reference in ("exp", "cta"):
            response = await own.get(f"/api/v1/experiments/{reference}/results", headers=HEADERS)
            assert response.status == 200
            body = await response.json()
    expected = results(
        [VariantCounts("control", 70, 7_000, 350), VariantCounts("loud", 30, 3_000, 210)], "control"
    )
    assert body["sampleRatioMismatch"] is False
    assert [body["experimentId"], body["key"], body["status"], body["controlVariant"]] == [
        "exp", "cta", "active", "control",
    ]  # fmt: skip
    control, loud = body["variants"]
    assert (control["rate"], control["againstControl"]) == (0.05, None)
    assert (loud["exposures"], loud["conversions"], loud["rate"]) == (3_000, 210, 0.07)
    against = expected.variants[1].against_control
    assert against is not None
    assert loud["againstControl"]["uplift"] == pytest.approx(0.02)
    assert loud["againstControl"]["p"] == against.p
    assert loud["againstControl"]["significant"] is True
    assert loud["againstControl"]["insufficientData"] is False


async def test_results_before_anything_was_counted_say_so(client: Client) -> None:
    response = await client.get("/api/v1/experiments/exp/results", headers=HEADERS)
    body = await response.json()
    assert response.status == 200
    assert [one["exposures"] for one in body["variants"]] == [0, 0]
    assert [one["rate"] for one in body["variants"]] == [None, None]
    assert body["variants"][1]["againstControl"]["insufficientData"] is True


async def test_an_unknown_experiment_is_404(client: Client) -> None:
    for path, headers in (
        ("/api/v1/experiments/nothing/results", HEADERS),
        ("/api/v1/experiments/exp/results", {"X-Tenant-Id": "rival"}),
    ):
        response = await client.get(path, headers=headers)
        body = await response.json()
        assert (response.status, body["code"]) == (404, "NOT_FOUND")
        assert body["details"][0]["field"] == "experimentId"
