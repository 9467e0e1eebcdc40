"""What a worker logs at its default level of what it is asked: nothing of a customer, and no stack."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.bank import PLATINUM_EMAIL
from tests.contract.service import Service

ANN = "ann.soderstrom@example.org"
SECRET = "her-own-words"


def asked(service: Service) -> list[tuple[str, str, Any]]:
    """One call of every kind about a customer: some succeed, some are refused."""
    path = f"/api/v1/customers/{ANN}"
    target = {"customerId": ANN, "creativeId": PLATINUM_EMAIL}
    return [
        ("PUT", path, {"attributes": {"said": SECRET}}),
        ("PATCH", path, {"attributes": {"said": SECRET}, "tags": SECRET}),
        ("GET", path, None),
        ("POST", "/api/v1/recommend", {"customerId": ANN, "attributes": {"said": SECRET}, "trace": True}),
        ("POST", "/api/v1/recommend", {"customerId": ANN, "channelId": SECRET}),
        ("POST", "/api/v1/recommend", {"customerId": "un" + ANN}),
        ("POST", "/api/v1/respond", {**target, "outcome": "click", "idempotencyKey": SECRET}),
        ("POST", "/api/v1/respond", {**target, "outcome": SECRET, "idempotencyKey": SECRET}),
        ("POST", "/api/v1/respond", {"customerId": ANN, "offerId": SECRET, "outcomeType": "click"}),
        ("POST", "/api/v1/events/ingest", {"customerId": ANN, "type": "purchase", "data": {"said": SECRET}}),
        ("POST", "/api/v1/events/ingest", {"customerId": ANN, "type": SECRET}),
        ("POST", "/api/v1/events", [{"customerId": ANN, "eventType": "x"}, {"customerId": ANN}]),
        ("POST", "/api/v1/simulate", {"customerId": ANN}),
        ("GET", f"{path}/eligibility", None),
        ("GET", f"/api/v1/decision-traces?customerId={ANN}", None),
        ("DELETE", f"{path}/suppressions/{SECRET}", None),
        ("DELETE", path, None),
        ("GET", path, None),
        ("POST", f"{path}/{SECRET}", {}),
    ]


def test_nothing_of_a_customer_and_no_stack_is_logged(service: Service) -> None:
    statuses = [service.call(method, path, body).status for method, path, body in asked(service)]
    assert {200, 201, 202, 400, 404} <= set(statuses)
    assert max(statuses) < 500, statuses
    text = service.worker.log.read_text(errors="replace")
    assert "worker started" in text
    for leaked in (ANN, SECRET, "Traceback", *service.keys.values()):
        assert leaked not in text
    levels = {json.loads(line)["level"] for line in text.splitlines() if line.startswith("{")}
    assert "error" not in levels
