"""POST /respond and /capture: the request's rules and the answer, without Kafka."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from app.decision.fold import DUPLICATE, RECORDED, Verdict
from app.decision.records import Response, Target, decode_response
from tests.web.harness import HEADERS, NOW_MS, TENANT, Client, Worker
from tests.web.test_recommend import made
from web.caller import Headers
from web.errors import ApiError
from web.instants import instant, iso
from web.respond import known_outcome, responded
from web.respond_body import read_response
from web.view import encode

PATHS = ("/api/v1/respond", "/api/v1/capture")
GOOD: dict[str, Any] = {
    "customerId": "ann",
    "creativeId": "vinyl-web",
    "outcome": "click",
    "idempotencyKey": "k",
}


def headers(**named: str) -> Headers:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in named.items()}))


@pytest.mark.parametrize("path", PATHS)
async def test_without_kafka_nothing_was_recorded(client: Client, path: str) -> None:
    response = await client.post(path, json=GOOD, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (503, "NOT_READY")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"customerId": None}, {"customerId"}),
        ({"outcome": None}, {"outcome"}),
        ({"outcome": 3}, {"outcome"}),
        ({"outcome": "click", "interactionType": "accept"}, {"interactionType"}),
        ({"outcome": "no-such"}, {"outcome"}),
        ({"idempotencyKey": None}, {"idempotencyKey"}),
        ({"idempotencyKey": ""}, {"idempotencyKey"}),
        ({"creativeId": None}, {"creativeId"}),
        ({"creativeId": 5}, {"creativeId"}),
        ({"rank": 0}, {"rank"}),
        ({"conversionValue": "much"}, {"conversionValue"}),
        ({"timestamp": "2026-03-10"}, {"timestamp"}),
        ({"timestamp": iso(instant(NOW_MS + 300_001))}, {"timestamp"}),
        ({"context": 1, "outcomeDetails": 2, "metadata": 3}, {"context", "outcomeDetails", "metadata"}),
        ({"offerId": "tape"}, {"offerId"}),
        ({"channelId": "push"}, {"channelId"}),
        ({"customerId": 1, "outcome": None, "timestamp": "x"}, {"customerId", "outcome", "timestamp"}),
    ],
)
async def test_all_bad_fields_come_at_once(
    client: Client, path: str, change: dict[str, Any], fields: set[str]
) -> None:
    response = await client.post(path, json={**GOOD, **change}, headers=HEADERS)
    assert response.status == 400
    assert {detail["field"] for detail in (await response.json())["details"]} == fields


@pytest.mark.parametrize(
    "change",
    [
        {"creativeId": "no-such"},
        {"creativeId": None, "offerId": "no-such"},
        {"offerId": "no-such"},
        {"creativeId": None, "recommendationId": "rec_0_18fffffffff_0123456789ab", "rank": 1},
        {"creativeId": None, "recommendationId": "made-up", "rank": 1},
        {"creativeId": None, "traceId": "trc_0_18fffffffff_0123456789ab", "offerId": "no-such"},
    ],
)
async def test_what_nobody_knows_is_404(client: Client, change: dict[str, Any]) -> None:
    response = await client.post(PATHS[0], json={**GOOD, **change}, headers=HEADERS)
    assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")


async def test_a_rank_that_was_not_given_is_400(client: Client, worker: Worker) -> None:
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "channelId": "web"})
    body = {**GOOD, "creativeId": None, "recommendationId": underway.recommendation_id, "rank": 9}
    response = await client.post(PATHS[0], json=body, headers=HEADERS)
    assert (response.status, (await response.json())["details"][0]["field"]) == (400, "rank")


async def test_a_decision_under_way_can_be_responded_to(client: Client, worker: Worker) -> None:
    worker.know("ann")
    underway = made(worker, {"customerId": "ann", "channelId": "web"})
    body = {**GOOD, "creativeId": None, "recommendationId": underway.recommendation_id, "rank": 2}
    response = await client.post(PATHS[0], json=body, headers=HEADERS)
    assert response.status == 503, "resolved, then Kafka did not take it"


def test_the_key_may_come_in_the_header_and_must_agree() -> None:
    keyless = encode({**GOOD, "idempotencyKey": None})
    given = headers(Idempotency_Key="h")
    assert read_response(keyless, given, TENANT, NOW_MS).idempotency_key == "h"
    same = headers(Idempotency_Key="k")
    assert read_response(encode(GOOD), same, TENANT, NOW_MS).idempotency_key == "k"
    with pytest.raises(ApiError, match="alias"):
        read_response(encode(GOOD), given, TENANT, NOW_MS)
    for bad in ("", "x" * 257):
        with pytest.raises(ApiError, match="256"):
            read_response(keyless, headers(Idempotency_Key=bad), TENANT, NOW_MS)


def test_a_key_that_is_not_utf8_is_refused() -> None:
    body = encode({**GOOD, "idempotencyKey": None})
    # As the server hands over the byte 0xE9.
    with pytest.raises(ApiError) as refused:
        read_response(body, headers(Idempotency_Key="caf\udce9"), TENANT, NOW_MS)
    assert [problem.message for problem in refused.value.problems] == ["must be UTF-8"]


def test_the_tutorials_form_needs_no_key() -> None:
    body = {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click"}
    response = read_response(encode(body), headers(), TENANT, NOW_MS)
    assert (response.outcome, response.idempotency_key) == ("click", None)


@pytest.mark.parametrize("name", ["outcome", "interactionType"])
def test_who_names_the_outcome_in_the_other_form_too_needs_a_key(name: str) -> None:
    body = {"customerId": "ann", "offerId": "vinyl", "outcomeType": "click", name: "click"}
    with pytest.raises(ApiError) as refused:
        read_response(encode(body), headers(), TENANT, NOW_MS)
    assert [problem.field for problem in refused.value.problems] == ["idempotencyKey"]
    assert read_response(encode(body), headers(Idempotency_Key="k"), TENANT, NOW_MS).idempotency_key == "k"


def test_a_caller_cannot_choose_tenant_or_target() -> None:
    forged = {**GOOD, "tenantId": "rival", "target": {"offerId": "x"}}
    response = read_response(encode(forged), headers(), TENANT, NOW_MS)
    assert (response.tenant_id, response.target) == (TENANT, None)


def test_the_record_is_one_that_the_fold_accepts() -> None:
    body = {**GOOD, "conversionValue": 3, "timestamp": "2026-03-10T14:30:00+01:00", "metadata": {"a": 1}}
    record = read_response(encode(body), headers(), TENANT, NOW_MS)
    record.target = Target("vinyl", "vinyl-web", "web", "cat", recommendation_id="rec_1", rank=2)
    response = decode_response(encode(record))
    assert isinstance(response, Response)
    assert response.target == record.target
    assert response.conversion_value == 3.0
    assert response.timestamp == record.timestamp


def test_an_answer_has_both_documented_shapes(worker: Worker) -> None:
    catalogue = worker.catalogue.tenant(TENANT)
    record = read_response(encode(GOOD), headers(), TENANT, NOW_MS)
    target = Target("vinyl", "vinyl-web", "web", "cat")
    for status in (RECORDED, DUPLICATE):
        verdict = Verdict(status, "int_1")
        outcome = known_outcome(record, catalogue)
        answer = responded(record, target, outcome, catalogue, verdict, instant(NOW_MS))
        assert answer.status == status
        assert answer.interaction_id == answer.id == "int_1"
        assert answer.outcome == answer.outcome_type == "click"
        assert answer.classification == "positive"
        assert answer.timestamp == answer.recorded_at == "2027-01-15T08:00:00.000Z"
        assert (answer.offer_name, answer.creative_name) == ("Vinyl", "Vinyl banner")
        assert (answer.channel_name, answer.category_name) == ("Web", "Music")
        assert (answer.recommendation_id, answer.rank, answer.trace_id) == (None, None, None)
