"""The samples of the reference documents, with only base URL, key and ids changed, against a live worker."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from tests.contract.bank import (
    CASHBACK,
    EMAIL,
    EXPERIMENT,
    FLOW,
    PLATINUM,
    PLATINUM_EMAIL,
    PLATINUM_VARIANT,
    TENANT,
)
from tests.contract.service import Service
from tests.contract.shapes import (
    CAPTURE,
    ERROR,
    INGEST,
    QUICKSTART_RECOMMEND,
    QUICKSTART_RESPOND,
    STAGES,
    TRACE,
    TUTORIAL_RECOMMEND,
    TUTORIAL_RESPOND,
    misfits,
)
from tests.contract.tools import curl, program, sample

SARAH: dict[str, Any] = {"attributes": {"firstName": "Sarah", "loyalty_score": 85, "credit_score": 720}}
CLASSIFIED = {
    "impression": "neutral",
    "click": "positive",
    "accept": "positive",
    "dismiss": "negative",
    "convert": "positive",
}


def know(service: Service, customer: str) -> str:
    """The id of a customer that the engine knows."""
    service.ok("PUT", f"/api/v1/customers/{customer}", SARAH)
    return customer


@pytest.mark.parametrize(("language", "script"), [("node", "quickstart.mjs"), ("python", "quickstart.py")])
def test_the_quickstart(service: Service, language: str, script: str) -> None:
    command = sys.executable if language == "python" else program(language)
    customer = know(service, f"SBX-{language}")
    variables = {"BASE_URL": service.url, "TENANT_ID": TENANT, "API_KEY": service.keys["editor"]}
    told = sample(command, script, variables, customer, f"nobody-{language}")
    recommended = told["recommended"]
    assert misfits(recommended, QUICKSTART_RECOMMEND) == []
    assert (recommended["customerId"], recommended["count"]) == (customer, len(recommended["decisions"]))
    assert [one["rank"] for one in recommended["decisions"]] == [1, 2, 3]
    assert recommended["recommendations"] == recommended["decisions"]
    for (outcome, classification), response in zip(CLASSIFIED.items(), told["responses"], strict=True):
        assert misfits(response, QUICKSTART_RESPOND) == []
        assert (response["outcome"], response["classification"]) == (outcome, classification)
        assert (response["customerId"], response["status"]) == (customer, "recorded")
    assert re.search(r"\(404\): Customer nobody-\w+ is not known", told["unknown"])
    assert re.search(r"\(400\): limit: Expected `int", told["invalid"])


def curled(service: Service, path: str, fields: dict[str, Any] | None, *headers: str) -> Any:
    """What curl gets for a JSON body, or for a GET without one."""
    options = [part for header in headers for part in ("-H", header)]
    if fields is not None:
        options += ["-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(fields)]
    return curl(service.url + path, *options)


def tutorial(service: Service) -> tuple[str, str]:
    """The tutorial's two headers, in its own spelling."""
    return f"x-tenant-id: {TENANT}", f"x-api-key: {service.keys['editor']}"


def recommend_as_the_tutorial(service: Service, customer: str) -> Any:
    fields = {
        "customerId": customer,
        "channelId": EMAIL,
        "decisionFlowId": FLOW,
        "maxOffers": 3,
        "placement": "hero_offer",
        "attributes": {"tier": "gold", "source": "campaign_q1", "device": "mobile"},
        "trace": True,
    }
    got = curled(service, "/api/v1/recommend", fields, *tutorial(service))
    assert got.status == 200, got
    return got.body


def test_the_tutorials_recommend_respond_and_trace(service: Service) -> None:
    customer = know(service, "cust_12345")
    answer = recommend_as_the_tutorial(service, customer)
    cards = [one for one in answer["recommendations"] if one["offerId"] in (PLATINUM, CASHBACK)]
    assert misfits({**answer, "recommendations": cards}, TUTORIAL_RECOMMEND) == []
    assert [one["offerId"] for one in answer["recommendations"]] == [PLATINUM, CASHBACK, "act_auto_loan"]
    assert answer["decisions"] == answer["recommendations"]
    assert answer["decisionFlowId"] == FLOW
    platinum, cashback = cards
    assert platinum["personalization"] == {
        "personalized_rate": 17.49,
        "annual_fee_waiver": True,
        "bonus_points": 5000,
    }
    assert cashback["personalization"]["annual_fee_waiver"] is False
    assert platinum["content"]["subject"].startswith("Sarah, ")
    assert platinum["content"]["body"] == "At 17.49% APR."
    trace = curled(service, f"/api/v1/decision-traces/{answer['traceId']}", None, *tutorial(service))
    assert trace.status == 200
    _is_the_trace(trace.body, answer)
    _responds(service, customer, platinum, answer["traceId"])


def _is_the_trace(trace: Any, answer: Any) -> None:
    assert misfits(trace, TRACE) == []
    assert (trace["traceId"], trace["decisionFlowId"]) == (answer["traceId"], FLOW)
    assert trace["processedAt"] == answer["processedAt"]
    assert [stage["name"] for stage in trace["stages"]] == list(STAGES)
    stages = {stage["name"]: stage for stage in trace["stages"]}
    assert [problem for name, shape in STAGES.items() for problem in misfits(stages[name], shape, name)] == []
    assert stages["enrich"]["output"]["customer.loyalty_score"] == 85
    assert stages["compute"]["computed"][PLATINUM]["personalized_rate"] == 17.49
    assert stages["filter"]["candidatesIn"] > stages["filter"]["candidatesOut"]
    home = next(one for one in stages["filter"]["filtered"] if one.startswith("act_home_loan"))
    assert re.match(r"act_home_loan \(segment_required\b.*\)$", home)
    assert stages["score"]["scores"][PLATINUM] == answer["recommendations"][0]["score"]
    assert stages["rank"]["finalOrder"] == [one["offerId"] for one in answer["recommendations"]]


def _responds(service: Service, customer: str, decision: Any, trace_id: str) -> None:
    """Every outcome that the tutorial lists, without an idempotency key."""
    fields = {
        "customerId": customer,
        "offerId": decision["offerId"],
        "channelId": decision["channelId"],
        "creativeId": decision["creativeId"],
        "traceId": trace_id,
        "metadata": {"clickPosition": "hero_banner", "deviceType": "mobile"},
    }
    ids = set()
    for outcome in ("impression", "click", "click", "conversion", "dismiss", "not_interested", "opt_out"):
        body = {**fields, "outcomeType": outcome}
        got = curled(service, "/api/v1/respond", body, *tutorial(service))
        assert got.status == 201, got
        assert misfits(got.body, TUTORIAL_RESPOND) == []
        assert {name: got.body[name] for name in body if name != "metadata"} == {
            name: value for name, value in body.items() if name != "metadata"
        }
        ids.add(got.body["id"])
    assert len(ids) == 7


def test_the_tutorials_experiment(service: Service) -> None:
    seen: dict[str, Any] = {}
    for number in range(40):
        answer = recommend_as_the_tutorial(service, know(service, f"cust_{number}"))
        platinum = answer["recommendations"][0]
        assert platinum["offerId"] == PLATINUM
        seen[platinum["creativeId"]] = platinum["experiment"]
        if len(seen) == 2:
            break
    assert seen == {
        PLATINUM_EMAIL: {"experimentId": EXPERIMENT, "variant": "control", "weight": 70},
        PLATINUM_VARIANT: {"experimentId": EXPERIMENT, "variant": "variant_a", "weight": 30},
    }


def test_the_tutorials_errors(service: Service) -> None:
    tenant, key = tutorial(service)
    got = curled(service, "/api/v1/recommend", {"limit": 3}, tenant, key)
    assert (got.status, got.body["code"]) == (400, "VALIDATION_ERROR")
    assert got.body["details"] == [{"field": "customerId", "message": "customerId is required"}]
    cases = [
        (curled(service, "/api/v1/recommend", {"customerId": "x"}, tenant), 401, "UNAUTHORIZED"),
        (
            curled(service, "/api/v1/recommend", {"customerId": "x"}, tenant, "x-api-key: no"),
            401,
            "UNAUTHORIZED",
        ),
        (
            curled(service, "/api/v1/recommend", {"customerId": "x"}, "x-tenant-id: other", key),
            403,
            "FORBIDDEN",
        ),
        (curled(service, "/api/v1/recommend", {"customerId": "nobody"}, tenant, key), 404, "NOT_FOUND"),
        (curled(service, "/api/v1/recommend", None, tenant, key), 405, "METHOD_NOT_ALLOWED"),
    ]
    for answer, status, code in cases:
        assert (answer.status, answer.body["code"]) == (status, code)
        assert misfits(answer.body, ERROR) == []
        assert answer.headers["content-type"] == "application/json"


def test_the_call_of_the_capture_document(service: Service) -> None:
    fields = {
        "customerId": "C-1234",
        "creativeId": "creative_001",
        "outcome": "impression",
        "idempotencyKey": "imp-C1234-001",
    }
    headers = (f"X-Tenant-Id: {TENANT}", f"X-API-Key: {service.keys['editor']}")
    got = curled(service, "/api/v1/capture", fields, *headers)
    assert (got.status, misfits(got.body, CAPTURE)) == (201, [])
    shown = {
        "recommendationId": None,
        "customerId": "C-1234",
        "outcome": "impression",
        "classification": "neutral",
        "rank": None,
        "offerName": "Cash Back Card",
        "creativeName": "Email Hero V1",
        "channelName": "Email",
        "categoryName": "Credit Cards",
        "status": "recorded",
    }
    assert {name: got.body[name] for name in shown} == shown
    again = curled(service, "/api/v1/respond", fields, *headers)
    assert (again.status, again.body) == (200, {**got.body, "status": "duplicate"} | _times(again.body))


def _times(body: Any) -> dict[str, str]:
    return {name: body[name] for name in ("timestamp", "recordedAt")}


def test_the_calls_of_the_ingest_document(service: Service) -> None:
    tenant, bearer = f"X-Tenant-Id: {TENANT}", f"Authorization: Bearer {service.keys['editor']}"
    purchase = {
        "type": "purchase",
        "customerId": "CUST-001",
        "channel": "pos",
        "data": {"orderId": "ORD-789", "amount": 49.99, "productId": "SKU-456", "storeId": "STORE-01"},
    }
    abandoned = {
        "type": "cart_abandon",
        "customerId": "CUST-002",
        "channel": "web",
        "data": {"cartValue": 129.99, "itemCount": 3, "abandonedUrl": "/checkout"},
    }
    for event in (purchase, abandoned):
        got = curled(service, "/api/v1/events/ingest", event, tenant, bearer)
        assert (got.status, misfits(got.body, INGEST)) == (200, [])
        assert (got.body["ingested"], got.body["eventType"]) == (True, event["type"])
        assert got.body["customerId"] == event["customerId"]
        assert got.body["streamId"].startswith("evt_")
        assert "actionErrors" not in got.body
    bad = curled(service, "/api/v1/events/ingest", {**purchase, "type": "refund"}, tenant, bearer)
    assert (bad.status, bad.body["details"][0]["field"]) == (400, "type")
    nobody = curled(service, "/api/v1/events/ingest", {"type": "purchase"}, tenant, bearer)
    assert (nobody.status, nobody.body["details"][0]["field"]) == (400, "customerId")
    assert curled(service, "/api/v1/events/ingest", purchase, tenant).status == 401
    viewer = f"Authorization: Bearer {service.keys['viewer']}"
    assert curled(service, "/api/v1/events/ingest", purchase, tenant, viewer).status == 403
