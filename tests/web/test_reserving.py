"""Recommend on a channel that reserves: the contact counts at once, on the log, and until it runs out."""

from __future__ import annotations

from pathlib import Path

from app.decision.fold import Clock, fold_decision
from app.decision.records import DecisionMade, decode_decision
from app.decision.responses import fold_response
from app.decision.state import Contact
from tables.layout import customer_key
from tests.decision.folding import response, target
from tests.web.harness import ENTITIES, HEADERS, NOW_MS, TENANT, Worker, running, snapshot
from tests.web.test_recommend import made
from web.underway import Underway

HOUR_MS = 3_600_000
KEY = customer_key(TENANT, "ann")
BODY = {"customerId": "ann", "channelId": "web", "limit": 1}


def _reserving(worker: Worker) -> Worker:
    """The worker with a site that reserves for an hour, and shows one offer a day."""
    site = {"id": "web", "name": "Web", "type": "web", "reservationMs": HOUR_MS}
    cap = {"scopes": [{"scope": "channel", "id": "web"}], "config": {"perDay": 1}}
    once = {"id": "site-once", "name": "Once", "kind": "frequency_cap", **cap}
    channels = [site, *ENTITIES["channels"][1:]]
    policies = [*ENTITIES["contact-policies"], once]
    worker.catalogue = snapshot({**ENTITIES, "channels": channels, "contact-policies": policies})
    worker.know("ann")
    return worker


def _creatives(underway: Underway) -> list[str]:
    return [one.creative_id for one in underway.decided.decisions]


def _record(underway: Underway) -> DecisionMade:
    record = decode_decision(underway.record or b"")
    assert isinstance(record, DecisionMade)
    return record


def _contacts(worker: Worker) -> list[Contact]:
    partition = worker.partition_for("ann")
    return partition.contacts(KEY, partition.customer(KEY), worker.now_ms)


def test_a_decision_under_way_holds_the_place_it_reserves(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        first = made(_reserving(worker), BODY)
        assert _creatives(first) == ["vinyl-web"]
        assert (_record(first).reserved, _record(first).contact_ranks) == (((1, NOW_MS + HOUR_MS),), ())
        assert made(worker, BODY).decided.decisions == ()
        worker.now_ms += HOUR_MS
        assert _creatives(made(worker, BODY)) == ["vinyl-web"], "the overlay's reservation ran out too"


def test_its_fold_reserves_and_an_impression_keeps_it(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        record = _record(made(_reserving(worker), BODY))
        partition = worker.partition_for("ann")
        clock = Clock(NOW_MS, worker.catalogue)
        partition.overlays.folded(record.sequence)
        fold_decision(partition.open(KEY), record, clock)
        assert made(worker, BODY).decided.decisions == ()
        seen = response("impression", recommendationId=record.recommendation_id, rank=1)
        fold_response(partition.open(KEY), seen, NOW_MS, clock, "responses/0/0")
        assert len(_contacts(worker)) == 1
        worker.now_ms += HOUR_MS
        assert made(worker, BODY).decided.decisions == ()


def test_a_report_folded_before_the_decision_counts_once(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        record = _record(made(_reserving(worker), BODY))
        partition = worker.partition_for("ann")
        seen = response("impression", recommendationId=record.recommendation_id, rank=1)
        seen.target = target(recommendation_id=record.recommendation_id, rank=1, contact=True)
        fold_response(partition.open(KEY), seen, NOW_MS, Clock(NOW_MS, worker.catalogue), "responses/0/0")
        assert len(_contacts(worker)) == 1


async def test_the_customer_shows_reserved_and_old_contacts(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        made(_reserving(worker), BODY)
        customer = worker.partition_for("ann").open(KEY)
        for number in range(2_100):
            record = Clock(NOW_MS, worker.catalogue)
            seen = response("impression", creativeId="vinyl-web", idempotencyKey=f"shown-{number}")
            fold_response(customer, seen, NOW_MS, record, f"responses/0/{number}")
        async with worker.client() as client:
            answer = await client.get("/api/v1/customers/ann", headers=HEADERS)
            assert (await answer.json())["contacts"] == {"total": 2_101, "byChannel": {"web": 2_101}}


def test_a_channel_that_does_not_reserve_writes_nothing_of_it(tmp_path: Path) -> None:
    with running(tmp_path) as worker:
        worker.know("ann")
        record = _record(made(worker, BODY))
        assert (record.reserved, record.contact_ranks) == ((), ())
        assert b"reserved" not in (made(worker, BODY).record or b"")
