"""Respond, capture and ingest, sentence by sentence, against a live worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.bank import CASHBACK, EMAIL, PLATINUM, PLATINUM_EMAIL
from tests.contract.service import Got, Service
from tests.contract.test_conventions import INGEST, RECOMMEND, RESPOND, fields, refused

SYSTEM = {
    "impression": "neutral",
    "click": "positive",
    "accept": "positive",
    "convert": "positive",
    "conversion": "positive",
    "dismiss": "negative",
    "not_interested": "negative",
    "opt_out": "negative",
    "complaint": "negative",
    "defer": "neutral",
    "share": "positive",
    "save": "positive",
}
SAID = {"creativeId": PLATINUM_EMAIL, "outcome": "click"}
FIELDS = {
    "interactionId", "id", "recommendationId", "customerId", "outcome", "outcomeType", "classification",
    "rank", "offerId", "offerName", "creativeId", "creativeName", "channelId", "channelName", "categoryName",
    "traceId", "status", "timestamp", "recordedAt", "attribution",
}  # fmt: skip


def respond(service: Service, customer: str, path: str = RESPOND, **said: Any) -> Got:
    return service.call("POST", path, {"customerId": customer, **said}, role="editor")


def at(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


def test_every_system_outcome(service: Service) -> None:
    for path in (RESPOND, "/api/v1/capture"):
        for outcome, classification in SYSTEM.items():
            for name in ("outcome", "interactionType", "outcomeType"):
                said = {
                    "creativeId": PLATINUM_EMAIL,
                    name: outcome,
                    "idempotencyKey": f"{path}{outcome}{name}",
                }
                got = respond(service, "outcomes", path, **said)
                assert got.status == 201, got
                assert set(got.body) == FIELDS
                assert got.body["outcome"] == got.body["outcomeType"] == outcome
                assert got.body["interactionId"] == got.body["id"]
                assert got.body["timestamp"] == got.body["recordedAt"]
                assert got.body["classification"] == classification
                assert (got.body["status"], got.body["attribution"]) == ("recorded", "direct")


def test_every_way_to_name_a_target(service: Service) -> None:
    service.ok("PUT", "/api/v1/customers/targets", {"tags": ["x"]})
    answer = service.ok("POST", RECOMMEND, {"customerId": "targets", "trace": True})
    second = answer["decisions"][1]
    for number, (target, attribution) in enumerate(
        (
            ({"recommendationId": answer["recommendationId"], "rank": 2}, "recommendation"),
            ({"traceId": answer["traceId"], "offerId": second["offerId"]}, "recommendation"),
            ({"creativeId": second["creativeId"]}, "direct"),
            ({"offerId": second["offerId"], "channelId": EMAIL}, "direct"),
            ({"offerId": second["offerId"]}, "direct"),
        )
    ):
        got = respond(service, "targets", outcome="click", idempotencyKey=f"t{number}", **target)
        assert (got.status, got.body["offerId"]) == (201, CASHBACK), got
        assert got.body["attribution"] == attribution
        ranked = attribution == "recommendation"
        assert got.body["recommendationId"] == (answer["recommendationId"] if ranked else None)
        assert got.body["rank"] == (2 if ranked else None)


def test_a_forgotten_recommendation_counts_with_what_else_is_named(service: Service) -> None:
    """Ids of long ago, in the form of ours: nobody can say any more whether they were."""
    for name, value in (("recommendationId", "rec"), ("traceId", "trc")):
        old = {name: f"{value}_0_19a3b2c4d5e_0123456789ab", "offerId": PLATINUM, "outcomeType": "click"}
        got = respond(service, "forgotten", **old)
        assert (got.status, got.body["attribution"]) == (201, "expired")
        assert (got.body["recommendationId"], got.body["rank"]) == (None, None)
    lone = respond(
        service, "forgotten", recommendationId="rec_0_19a3b2c4d5e_0123456789ab", rank=1, outcomeType="click"
    )
    refused(lone, 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("said", "status", "bad"),
    [
        ({**SAID, "outcome": "sneeze"}, 400, "outcome"),
        ({**SAID, "interactionType": "dismiss"}, 400, "interactionType"),
        ({**SAID, "outcomeType": "dismiss"}, 400, "outcomeType"),
        ({"creativeId": "nowhere", "outcome": "click"}, 404, "creativeId"),
        ({"offerId": "nowhere", "outcome": "click"}, 404, "offerId"),
        (
            {"recommendationId": "rec_0_19a3b2c4d5e_0123456789ab", "rank": 1, "outcome": "click"},
            404,
            "recommendationId",
        ),
        (
            {"traceId": "trace_abc123", "offerId": PLATINUM, "outcome": "click"},
            404,
            "traceId",
        ),
        ({"offerId": PLATINUM, "channelId": "ch_nowhere", "outcome": "click"}, 400, "channelId"),
        ({**SAID, "offerId": CASHBACK}, 400, "offerId"),
        ({**SAID, "channelId": "ch_nowhere"}, 400, "channelId"),
        ({"outcome": "click"}, 400, "creativeId"),
        ({**SAID, "timestamp": "2026-01-01T00:00:00"}, 400, "timestamp"),
        ({**SAID, "timestamp": 5}, 400, "timestamp"),
    ],
)
def test_what_is_wrong_with_a_target(service: Service, said: dict[str, Any], status: int, bad: str) -> None:
    got = respond(service, "wrong", idempotencyKey="w", **said)
    code = {400: "VALIDATION_ERROR", 404: "NOT_FOUND"}[status]
    body = refused(got, status, code)
    assert fields(body) == {bad}
    assert body["error"].startswith(f"{bad}: ")
    assert not body["details"][0]["message"].startswith(f"{bad}:")


def test_a_rank_that_was_not_given_and_timestamps(service: Service) -> None:
    service.ok("PUT", "/api/v1/customers/ranks", {"tags": ["x"]})
    given = service.ok("POST", RECOMMEND, {"customerId": "ranks"})["recommendationId"]
    got = respond(service, "ranks", recommendationId=given, rank=9, outcome="click", idempotencyKey="r")
    assert fields(refused(got, 400, "VALIDATION_ERROR")) == {"rank"}
    late = respond(service, "ranks", **SAID, idempotencyKey="ahead", timestamp=at(minutes=6))
    assert fields(refused(late, 400, "VALIDATION_ERROR")) == {"timestamp"}
    said = at(minutes=4)
    got = respond(service, "ranks", **SAID, idempotencyKey="ahead", timestamp=said)
    assert (got.status, got.body["timestamp"][:19]) == (201, said[:19])


def test_keys(service: Service) -> None:
    missing = respond(service, "keys", **SAID)
    assert fields(refused(missing, 400, "VALIDATION_ERROR")) == {"idempotencyKey"}
    missing = respond(service, "keys", creativeId=PLATINUM_EMAIL, interactionType="click")
    assert fields(refused(missing, 400, "VALIDATION_ERROR")) == {"idempotencyKey"}
    first = respond(service, "keys", **SAID, idempotencyKey="k", conversionValue=5)
    again = respond(service, "keys", **SAID, idempotencyKey="k", conversionValue=5)
    assert (first.status, again.status, again.body["status"]) == (201, 200, "duplicate")
    assert again.body["interactionId"] == first.body["interactionId"]
    refused(respond(service, "keys", **SAID, idempotencyKey="k", conversionValue=6), 409, "CONFLICT")
    refused(
        respond(service, "keys", **SAID, idempotencyKey="k", conversionValue=5, timestamp=at()),
        409,
        "CONFLICT",
    )
    # Another outcome, target or customer is another key; the header is the same as the field.
    for other in ({"outcome": "dismiss"}, {"creativeId": "treat_cashback_email"}, {"customerId": "keys-2"}):
        body = {"customerId": "keys", **SAID, "idempotencyKey": "k", **other}
        assert service.call("POST", RESPOND, body).status == 201
    header = {"Idempotency-Key": "k"}
    got = service.call("POST", RESPOND, {"customerId": "keys", **SAID, "conversionValue": 5}, headers=header)
    assert got.status == 200
    got = service.call("POST", RESPOND, {"customerId": "keys", **SAID, "idempotencyKey": "x"}, headers=header)
    assert got.status == 400


def test_respond_and_ingest_create_the_customer(service: Service) -> None:
    assert respond(service, "created-1", **SAID, idempotencyKey="k").status == 201
    service.ok("POST", INGEST, {"customerId": "created-2", "type": "page_view"})
    for name in ("created-1", "created-2"):
        assert service.ok("GET", f"/api/v1/customers/{name}")["customerId"] == name
        assert service.ok("POST", RECOMMEND, {"customerId": name})["count"] > 0


def test_a_tenants_own_outcome(service: Service) -> None:
    kind = {"key": "winked", "name": "Winked", "classification": "positive", "category": "response"}
    service.ok("POST", "/api/v1/outcome-types", kind)
    got = respond(service, "winks", creativeId=PLATINUM_EMAIL, outcome="winked", idempotencyKey="k")
    assert (got.status, got.body["classification"]) == (201, "positive")


def test_ingest(service: Service) -> None:
    event = {"customerId": "ingests", "type": "purchase", "eventId": "e1", "timestamp": at(minutes=-5)}
    first, again = service.ok("POST", INGEST, event), service.ok("POST", INGEST, event)
    assert (first["streamId"], "status" in first) == ("e1", False)
    assert again["status"] == "duplicate"
    for wrong, bad in (
        ({"timestamp": at(minutes=6)}, "timestamp"),
        ({"timestamp": "2026-01-01T00:00:00"}, "timestamp"),
        ({"type": "refund"}, "type"),
        ({"customerId": None}, "customerId"),
    ):
        got = service.call("POST", INGEST, {**event, **wrong})
        assert fields(refused(got, 400, "VALIDATION_ERROR")) == {bad}


def test_the_batch(service: Service) -> None:
    items = [
        {"customerId": "batched", "eventType": "article_read", "properties": {"n": 1}, "sessionId": "s"},
        {"customerId": "batched", "eventType": "article_read", "timestamp": at(minutes=6)},
        {"eventType": ""},
    ]
    got = service.call("POST", "/api/v1/events", {"events": items}, role="editor")
    assert (got.status, got.body["accepted"], got.body["rejected"]) == (202, 1, 2)
    assert [one["status"] for one in got.body["results"]] == ["accepted", "rejected", "rejected"]
    assert fields(got.body["results"][2]) == {"customerId", "eventType"}
    many = [items[0]] * 101
    refused(service.call("POST", "/api/v1/events", {"events": many}), 400, "VALIDATION_ERROR")
    refused(service.call("POST", "/api/v1/events", {"events": []}), 400, "VALIDATION_ERROR")
